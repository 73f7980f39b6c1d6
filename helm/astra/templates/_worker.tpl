{{- define "astra.worker.settings" -}}
WORKER_ACTIVITIES_MAX: {{ .Values.worker.activitiesMax | int | quote }}
WORKER_HEARTBEAT_SECONDS: {{ .Values.worker.heartbeatSeconds | quote }}
BUDGET_WAIT_SECONDS: {{ .Values.worker.budgetWaitSeconds | int | quote }}
RESOLVE_AFTER: {{ .Values.worker.resolveAfter | quote }}
{{- end -}}

{{- define "astra.worker.secretKeys" -}}
{{- end -}}
