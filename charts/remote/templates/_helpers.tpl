{{- /* Made of packages/control-plane/src/manifests: change it there and run "npm run charts" */}}

{{/* What names of a revision end with; nothing for the default one */}}
{{- define "remote.suffix" -}}
{{ if and .Values.revision (not (eq .Values.revision "default")) }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{/* Name of the revision */}}
{{- define "remote.revision" -}}
{{ default "default" .Values.revision }}
{{- end }}

{{/* Name of Deployment, Service and account */}}
{{- define "remote.name" -}}
istiod{{ include "remote.suffix" . }}
{{- end }}

{{/* Labels of everything that belongs to the control plane */}}
{{- define "remote.labels" -}}
app: istiod
istio: {{ include "remote.role" . | quote }}
istio.io/rev: {{ include "remote.revision" . | quote }}
{{- end }}

{{/* By this label the Service of the default revision finds its pods, and no others */}}
{{- define "remote.role" -}}
{{ if and .Values.revision (not (eq .Values.revision "default")) }}istiod{{ else }}pilot{{ end }}
{{- end }}

{{/* Name of the webhook that injects sidecars; unique in the cluster */}}
{{- define "remote.injectorName" -}}
istio-sidecar-injector{{ include "remote.suffix" . }}{{ if not (eq .Release.Namespace "istio-system") }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* Where the injector is asked, with the cluster and network that it is asked for */}}
{{- define "remote.injectionPath" -}}
{{ .Values.istiodRemote.injectionPath }}/cluster/{{ .Values.global.multiCluster.clusterName }}{{ if .Values.global.network }}/net/{{ .Values.global.network }}{{ end }}
{{- end }}

{{/* A scalar of any type as text; Go would print large numbers in scientific notation */}}
{{- define "remote.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Whether a validating webhook is binding, as its control plane has made it; an upgrade leaves that */}}
{{- define "remote.livePolicy" -}}
{{- $policy := "Ignore" }}
{{- $live := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" . | default dict }}
{{- range dig "webhooks" list $live }}{{ $policy = .failurePolicy }}{{ end }}
{{- $policy }}
{{- end }}
