{{- define "astra.gateway.settings" -}}
WEBHOOK_BODY_BYTES_MAX: {{ .Values.gateway.webhookBodyBytesMax | int64 | quote }}
{{- with concat (ternary (list .Values.ingress.host) list .Values.ingress.enabled) .Values.gateway.mcpHosts }}
MCP_HOSTS: {{ join "," . | quote }}
{{- end }}
{{- end -}}

{{- define "astra.gateway.secretKeys" -}}
{{- if .Values.gateway.console.enabled }}
CONSOLE_SESSION_KEY
{{- end }}
{{- end -}}
