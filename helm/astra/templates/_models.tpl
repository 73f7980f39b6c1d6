{{- define "astra.models.settings" -}}
{{- with .Values.models }}
{{- if .defaultModel }}
DEFAULT_MODEL: {{ .defaultModel | quote }}
{{- end }}
EMBEDDING_MODEL: {{ .embeddingModel | quote }}
{{- if .catalogue }}
MODELS_CATALOGUE: "/etc/astra/catalogue.toml"
{{- end }}
{{- end }}
{{- with .Values.models.providers }}
{{- if .openai.baseUrl }}
OPENAI_BASE_URL: {{ .openai.baseUrl | quote }}
OPENAI_MODEL: {{ .openai.model | quote }}
OPENAI_EMBEDDING_MODEL: {{ .openai.embeddingModel | quote }}
{{- end }}
{{- if .foundry.endpoint }}
FOUNDRY_ENDPOINT: {{ .foundry.endpoint | quote }}
FOUNDRY_MODEL: {{ .foundry.model | quote }}
{{- end }}
{{- if .moonshot.enabled }}
MOONSHOT_BASE_URL: {{ .moonshot.baseUrl | quote }}
{{- end }}
{{- if .zai.enabled }}
ZAI_BASE_URL: {{ .zai.baseUrl | quote }}
{{- end }}
{{- if and .anthropic.enabled .anthropic.baseUrl }}
ANTHROPIC_BASE_URL: {{ .anthropic.baseUrl | quote }}
{{- end }}
{{- if .bedrock.region }}
AWS_REGION: {{ .bedrock.region | quote }}
{{- if eq .bedrock.signIn "instanceRole" }}
BEDROCK_INSTANCE_ROLE: "true"
{{- end }}
{{- if .bedrock.endpointUrl }}
AWS_ENDPOINT_URL_BEDROCK_RUNTIME: {{ .bedrock.endpointUrl | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "astra.models.secretKeys" -}}
{{- if .Values.models.serverKeysInSecret }}
MODELS_SERVER_KEYS
{{- end }}
{{- with .Values.models.providers }}
{{- if and .openai.baseUrl .openai.keyInSecret }}
OPENAI_API_KEY
{{- end }}
{{- if .foundry.endpoint }}
FOUNDRY_API_KEY
{{- end }}
{{- if .moonshot.enabled }}
MOONSHOT_API_KEY
{{- end }}
{{- if .zai.enabled }}
ZAI_API_KEY
{{- end }}
{{- if .anthropic.enabled }}
ANTHROPIC_API_KEY
{{- end }}
{{- if and .bedrock.region (eq .bedrock.signIn "apiKey") }}
AWS_BEARER_TOKEN_BEDROCK
{{- end }}
{{- if and .bedrock.region (eq .bedrock.signIn "accessKey") }}
AWS_ACCESS_KEY_ID
AWS_SECRET_ACCESS_KEY
{{- end }}
{{- end }}
{{- end -}}
