{{/* The plain settings of each role, as its config map holds them; what only one role reads is in the file named
     after it. Secrets are in _<role>.tpl too, as the keys its Secret must hold. */}}

{{- define "astra.settings" -}}
{{- $own := include "astra.ownSettings" . -}}
{{ $own }}
{{- range $name, $value := (index .root.Values .role).extraSettings }}
{{- if hasKey ($own | fromYaml) $name }}
{{- fail (printf "%s.extraSettings: the chart sets %s itself" $.role $name) }}
{{- end }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "astra.ownSettings" -}}
{{- $facts := index (include "astra.roles" .root | fromYaml) .role -}}
HOST: "0.0.0.0"
LOG_LEVEL: {{ .root.Values.logLevel | quote }}
{{ $facts.portVariable }}: {{ $facts.port | int | quote }}
{{- range $callee := $facts.calls }}
{{ upper $callee }}_ADDRESS: {{ include "astra.address" (dict "root" $.root "role" $callee) | quote }}
{{- end }}
{{- if has "temporal" $facts.reaches }}
TEMPORAL_ADDRESS: {{ .root.Values.temporal.address | quote }}
TEMPORAL_NAMESPACE: {{ .root.Values.temporal.namespace | quote }}
{{- end }}
{{- with include (printf "astra.%s.settings" .role) .root | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The keys of a role's Secret, one a line; each becomes the variable of that name. */}}
{{- define "astra.secretKeys" -}}
ASTRA_TOKEN
{{- range include (printf "astra.%s.secretKeys" .role) .root | trim | splitList "\n" }}
{{- if . }}
{{ . }}
{{- end }}
{{- end }}
{{- range (index .root.Values .role).extraSecretKeys }}
{{ . }}
{{- end }}
{{- end -}}
