{{- /* Made of packages/control-plane/src/manifests: change it there and run "npm run charts" */}}

{{/* Name of the gateway */}}
{{- define "gateway.name" -}}
{{ default .Release.Name .Values.name }}
{{- end }}

{{/* Name of the pods' account */}}
{{- define "gateway.account" -}}
{{ default (include "gateway.name" .) .Values.serviceAccount.name }}
{{- end }}

{{/* Label app of the pods */}}
{{- define "gateway.app" -}}
{{ default (include "gateway.name" .) .Values.labels.app }}
{{- end }}

{{/* Label istio of the pods, by which Gateways choose them: the name without istio- before it */}}
{{- define "gateway.shortName" -}}
{{ default (trimPrefix "istio-" (include "gateway.name" .)) .Values.labels.istio }}
{{- end }}

{{/* Labels that the pods are found by */}}
{{- define "gateway.selector" -}}
app: {{ include "gateway.app" . | quote }}
istio: {{ include "gateway.shortName" . | quote }}
{{- end }}

{{/* Labels of everything that belongs to the gateway */}}
{{- define "gateway.labels" -}}
{{- include "gateway.selector" . | nindent 0 }}
{{- if .Values.networkGateway }}
topology.istio.io/network: {{ .Values.networkGateway | quote }}
{{- end }}
{{- end }}

{{/* Labels of the pods */}}
{{- define "gateway.podLabels" -}}
{{- include "gateway.labels" . | nindent 0 }}
sidecar.istio.io/inject: "true"
{{- if .Values.revision }}
istio.io/rev: {{ .Values.revision | quote }}
{{- end }}
{{- end }}

{{/* Annotations of the pods */}}
{{- define "gateway.podAnnotations" -}}
inject.istio.io/templates: gateway
prometheus.io/port: "15020"
prometheus.io/path: /stats/prometheus
prometheus.io/scrape: "true"
{{- end }}

{{/* A scalar of any type as text; Go would print large numbers in scientific notation */}}
{{- define "gateway.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Whether a validating webhook is binding, as its control plane has made it; an upgrade leaves that */}}
{{- define "gateway.livePolicy" -}}
{{- $policy := "Ignore" }}
{{- $live := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" . | default dict }}
{{- range dig "webhooks" list $live }}{{ $policy = .failurePolicy }}{{ end }}
{{- $policy }}
{{- end }}
