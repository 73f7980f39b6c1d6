{{/* int64: helm reads whole numbers as floats, and prints large ones with an exponent. */}}
{{- define "astra.tools.settings" -}}
VENDORS_SHARED_WITH: {{ join "," .Values.tools.vendorsSharedWith | quote }}
WORKSPACE_DIR: "/workspace"
WORKSPACE_BYTES_MAX: {{ .Values.tools.workspace.bytesMax | int64 | quote }}
REPOSITORY_BYTES_MAX: {{ .Values.tools.workspace.repositoryBytesMax | int64 | quote }}
{{- if .Values.tools.mcpServers }}
MCP_SERVERS: "/etc/astra/mcp-servers.toml"
{{- end }}
{{- with .Values.github }}
{{- if .appId }}
GITHUB_APP_ID: {{ .appId | quote }}
GITHUB_API_URL: {{ .apiUrl | quote }}
GITHUB_INSTALLATION_ID: {{ .installationId | int64 | quote }}
GITHUB_SETTLE_SECONDS: {{ .settleSeconds | quote }}
{{- end }}
{{- end }}
{{- with .Values.slack }}
{{- if .enabled }}
SLACK_API_URL: {{ .apiUrl | quote }}
SLACK_SETTLE_SECONDS: {{ .settleSeconds | quote }}
{{- end }}
{{- end }}
{{- with .Values.google }}
{{- if .clientId }}
GOOGLE_CLIENT_ID: {{ .clientId | quote }}
GOOGLE_API_URL: {{ .apiUrl | quote }}
GOOGLE_DOCS_API_URL: {{ .docsApiUrl | quote }}
GOOGLE_TOKEN_URL: {{ .tokenUrl | quote }}
GOOGLE_CERTS_URL: {{ .certsUrl | quote }}
GOOGLE_SETTLE_SECONDS: {{ .settleSeconds | quote }}
{{- end }}
{{- end }}
{{- with .Values.plane }}
{{- if .workspace }}
PLANE_WORKSPACE: {{ .workspace | quote }}
PLANE_API_URL: {{ .apiUrl | quote }}
PLANE_APP_URL: {{ .appUrl | quote }}
PLANE_SETTLE_SECONDS: {{ .settleSeconds | quote }}
PLANE_CALLS_PER_MINUTE: {{ .callsPerMinute | quote }}
{{- end }}
{{- end }}
{{- with .Values.webSearch }}
{{- if .enabled }}
BRAVE_API_URL: {{ .apiUrl | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "astra.tools.secretKeys" -}}
{{- if .Values.tools.mcpServerKeysInSecret }}
MCP_SERVER_KEYS
{{- end }}
{{- if .Values.github.appId }}
GITHUB_APP_PRIVATE_KEY
{{- end }}
{{- if .Values.slack.enabled }}
SLACK_BOT_TOKEN
{{- end }}
{{- if .Values.plane.workspace }}
PLANE_API_KEY
{{- end }}
{{- if .Values.google.clientId }}
GOOGLE_CLIENT_SECRET
GOOGLE_REFRESH_TOKEN
{{- end }}
{{- if .Values.webSearch.enabled }}
BRAVE_API_KEY
{{- end }}
{{- end -}}
