{{- define "astra.gateway.settings" -}}
WEBHOOK_BODY_BYTES_MAX: {{ .Values.gateway.webhookBodyBytesMax | int64 | quote }}
{{- end -}}

{{- define "astra.gateway.secretKeys" -}}
{{- if .Values.gateway.console.enabled }}
CONSOLE_SESSION_KEY
{{- end }}
{{- end -}}
