{{/* Names, labels and addresses. Most take a role's context: dict "root" $ "role" "gateway". */}}

{{- define "astra.roles" -}}
{{- .Files.Get "files/roles.yaml" -}}
{{- end -}}

{{- define "astra.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "astra.name" -}}
{{- printf "%s-%s" (include "astra.fullname" .root) .role -}}
{{- end -}}

{{/* What selects every pod of this release. */}}
{{- define "astra.releaseSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects one role's pods; a Deployment cannot change it. */}}
{{- define "astra.selector" -}}
{{ include "astra.releaseSelector" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "astra.labels" -}}
{{ include "astra.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "astra.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest }}
{{- else -}}
{{ printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A role's address in full, so that no search domain is tried. Headless: each pod is one of its addresses,
     and gRPC's round_robin spreads the calls over them. */}}
{{- define "astra.address" -}}
{{- $facts := index (include "astra.roles" .root | fromYaml) .role -}}
{{- printf "%s.%s.svc.%s:%d" (include "astra.name" .) .root.Release.Namespace .root.Values.clusterDomain (int $facts.port) -}}
{{- end -}}
