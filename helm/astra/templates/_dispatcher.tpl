{{- define "astra.dispatcher.settings" -}}
RELAY_LEASE_SECONDS: {{ .Values.dispatcher.relayLeaseSeconds | quote }}
CATCH_UP_INTERVAL_SECONDS: {{ .Values.dispatcher.catchUpIntervalSeconds | quote }}
DELIVERY_RETENTION_DAYS: {{ .Values.dispatcher.deliveryRetentionDays | quote }}
DEAD_DELIVERY_RETENTION_DAYS: {{ .Values.dispatcher.deadDeliveryRetentionDays | quote }}
SWEEP_INTERVAL_SECONDS: {{ .Values.dispatcher.sweepIntervalSeconds | quote }}
{{- with .Values.publicBaseUrl }}
PUBLIC_BASE_URL: {{ . | quote }}
{{- end }}
{{- with .Values.google }}
{{- if .clientId }}
PUBSUB_AUDIENCE: {{ .events.audience | quote }}
PUBSUB_SERVICE_ACCOUNT: {{ .events.serviceAccount | quote }}
DRIVE_WATCH_RENEWAL_HOURS: {{ .watchRenewalHours | quote }}
DRIVE_WATCH_LOOK_AHEAD_HOURS: {{ .watchLookAheadHours | quote }}
{{- end }}
{{- end }}
{{- if .Values.github.appId }}
GITHUB_APP_ID: {{ .Values.github.appId | quote }}
GITHUB_APP_SLUG: {{ .Values.github.appSlug | quote }}
{{- end }}
{{- end -}}

{{- define "astra.dispatcher.secretKeys" -}}
DATABASE_URL
RELAY_DATABASE_URL
{{- if .Values.github.appId }}
GITHUB_WEBHOOK_SECRET
{{- end }}
{{- if .Values.slack.enabled }}
SLACK_SIGNING_SECRET
{{- end }}
{{- if .Values.plane.workspace }}
PLANE_WEBHOOK_SECRET
{{- end }}
{{- if .Values.google.clientId }}
DRIVE_CHANNEL_TOKEN
{{- end }}
{{- end -}}
