{{/* What all pods have in common: the restricted pod security standard, and no more rights than none. */}}

{{- define "astra.podSecurity" -}}
automountServiceAccountToken: false
# A Service named like a role would set variables like ASTRA_PORT, which are settings here.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "astra.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "astra.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Variables from a Secret, each by name: a missing key stops the pod and is named in its events.
     Takes dict "secret" name "keys" (one a line). */}}
{{- define "astra.secretVariables" -}}
{{- range splitList "\n" .keys }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $.secret }}
      key: {{ . }}
{{- end }}
{{- end -}}

{{/* Ready while the role can do its work; alive while its event loop turns, whatever else is away: starting a
     pod anew brings no database back. */}}
{{- define "astra.probes" -}}
{{- if eq .role "gateway" -}}
startupProbe:
  httpGet: {path: /livez, port: main}
  periodSeconds: 2
  failureThreshold: 45
readinessProbe:
  # 503 only while work cannot be accepted; a tools service that is away makes accepted work wait.
  httpGet: {path: /readyz, port: main}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: main}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- else -}}
startupProbe:
  grpc: {port: {{ .facts.port }}, service: liveness}
  periodSeconds: 2
  failureThreshold: 45
readinessProbe:
  grpc: {port: {{ .facts.port }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  grpc: {port: {{ .facts.port }}, service: liveness}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}
{{- end -}}
