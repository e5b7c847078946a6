{{- /* Made of packages/control-plane/src/manifests: change it there and run "npm run charts" */}}

{{/* Service of the revision that validates */}}
{{- define "base.service" -}}
istiod{{ if not (eq .Values.defaultRevision "default") }}-{{ .Values.defaultRevision }}{{ end }}
{{- end }}

{{/* A scalar of any type as text; Go would print large numbers in scientific notation */}}
{{- define "base.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Whether a validating webhook is binding, as its control plane has made it; an upgrade leaves that */}}
{{- define "base.livePolicy" -}}
{{- $policy := "Ignore" }}
{{- $live := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" . | default dict }}
{{- range dig "webhooks" list $live }}{{ $policy = .failurePolicy }}{{ end }}
{{- $policy }}
{{- end }}
