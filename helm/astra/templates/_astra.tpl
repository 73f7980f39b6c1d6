{{- define "astra.astra.settings" -}}
ASTRA_SWEEP_INTERVAL_SECONDS: {{ .Values.astra.sweepIntervalSeconds | quote }}
{{- end -}}

{{- define "astra.astra.secretKeys" -}}
DATABASE_URL
RELAY_DATABASE_URL
{{- if .Values.astra.vault.enabled }}
VAULT_KEY
{{- end }}
{{- end -}}
