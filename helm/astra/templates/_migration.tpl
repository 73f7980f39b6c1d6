{{/* Keys of migration.existingSecret: the database's owner, what the roles and the principals get. */}}
{{- define "astra.migration.secretKeys" -}}
OWNER_DATABASE_URL
SERVICE_DATABASE_PASSWORD
RELAY_DATABASE_PASSWORD
OPERATOR_DATABASE_PASSWORD
ASTRA_TOKEN
DISPATCHER_TOKEN
GATEWAY_TOKEN
MODELS_TOKEN
TOOLS_TOKEN
WORKER_TOKEN
OPERATOR_TOKEN
API_KEY
{{- end -}}
