{{- /* Made of packages/control-plane/src/manifests: change it there and run "npm run charts" */}}

{{/* What names of a revision end with; nothing for the default one */}}
{{- define "control-plane.suffix" -}}
{{ if and .Values.revision (not (eq .Values.revision "default")) }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{/* Name of the revision */}}
{{- define "control-plane.revision" -}}
{{ default "default" .Values.revision }}
{{- end }}

{{/* Name of Deployment, Service and account */}}
{{- define "control-plane.name" -}}
istiod{{ include "control-plane.suffix" . }}
{{- end }}

{{/* Labels of everything that belongs to the control plane */}}
{{- define "control-plane.labels" -}}
app: istiod
istio: {{ include "control-plane.role" . | quote }}
istio.io/rev: {{ include "control-plane.revision" . | quote }}
{{- end }}

{{/* By this label the Service of the default revision finds its pods, and no others */}}
{{- define "control-plane.role" -}}
{{ if and .Values.revision (not (eq .Values.revision "default")) }}istiod{{ else }}pilot{{ end }}
{{- end }}

{{/* Name of the webhook that injects sidecars; unique in the cluster */}}
{{- define "control-plane.injectorName" -}}
istio-sidecar-injector{{ include "control-plane.suffix" . }}{{ if not (eq .Release.Namespace "istio-system") }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* Tag of images */}}
{{- define "control-plane.tag" -}}
{{ default .Chart.AppVersion .Values.global.tag }}
{{- end }}

{{/* Image of the control plane */}}
{{- define "control-plane.image" -}}
{{ if contains "/" .Values.pilot.image }}{{ .Values.pilot.image }}{{ else }}{{ .Values.global.hub }}/{{ .Values.pilot.image }}:{{ include "control-plane.tag" . }}{{ end }}
{{- end }}

{{/* How the cluster is known in the mesh */}}
{{- define "control-plane.clusterName" -}}
{{ default "Kubernetes" .Values.global.multiCluster.clusterName }}
{{- end }}

{{/* Labels of the pods */}}
{{- define "control-plane.podLabels" -}}
{{- include "control-plane.labels" . | nindent 0 }}
sidecar.istio.io/inject: "false"
{{- end }}

{{/* Annotations of the pods */}}
{{- define "control-plane.podAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "15014"
{{- end }}

{{/* What MeshConfig says of the installation itself */}}
{{- define "control-plane.mesh" -}}
rootNamespace: {{ .Release.Namespace | quote }}
defaultConfig:
  discoveryAddress: {{ printf "istiod%s.%s.svc:15012" (include "control-plane.suffix" .) .Release.Namespace | quote }}
{{- end }}

{{/* The networks of the mesh */}}
{{- define "control-plane.meshNetworks" -}}
networks:
  {{- toYaml .Values.global.meshNetworks | nindent 2 }}
{{- end }}

{{/* Which pods get a sidecar */}}
{{- define "control-plane.injectorConfig" -}}
policy: {{ .Values.global.proxy.autoInject | quote }}
{{- if .Values.sidecarInjectorWebhook.neverInjectSelector }}
neverInjectSelector:
  {{- toYaml .Values.sidecarInjectorWebhook.neverInjectSelector | nindent 2 }}
{{- end }}
{{- if .Values.sidecarInjectorWebhook.alwaysInjectSelector }}
alwaysInjectSelector:
  {{- toYaml .Values.sidecarInjectorWebhook.alwaysInjectSelector | nindent 2 }}
{{- end }}
{{- if .Values.sidecarInjectorWebhook.templates }}
templates:
  {{- toYaml .Values.sidecarInjectorWebhook.templates | nindent 2 }}
{{- end }}
{{- if .Values.sidecarInjectorWebhook.aliases }}
aliases:
  {{- toYaml .Values.sidecarInjectorWebhook.aliases | nindent 2 }}
{{- end }}
{{- if .Values.sidecarInjectorWebhook.defaultTemplates }}
defaultTemplates:
  {{- toYaml .Values.sidecarInjectorWebhook.defaultTemplates | nindent 2 }}
{{- end }}
{{- if .Values.sidecarInjectorWebhook.injectedAnnotations }}
injectedAnnotations:
  {{- toYaml .Values.sidecarInjectorWebhook.injectedAnnotations | nindent 2 }}
{{- end }}
{{- end }}

{{/* What sidecars are made of, by the names of these values */}}
{{- define "control-plane.injectorValues" -}}
global:
  hub: {{ .Values.global.hub | quote }}
  tag: {{ include "control-plane.tag" . | quote }}
  imagePullPolicy: {{ .Values.global.imagePullPolicy | quote }}
  imagePullSecrets:
    {{- toYaml .Values.global.imagePullSecrets | nindent 4 }}
  caAddress: {{ .Values.global.caAddress | quote }}
  logAsJson: {{ .Values.global.logAsJson }}
  logging:
    {{- toYaml .Values.global.logging | nindent 4 }}
  {{- if .Values.global.meshID }}
  meshID: {{ .Values.global.meshID | quote }}
  {{- end }}
  network: {{ .Values.global.network | quote }}
  {{- if .Values.global.platform }}
  platform: {{ .Values.global.platform | quote }}
  {{- end }}
  multiCluster:
    clusterName: {{ include "control-plane.clusterName" . | quote }}
  proxy:
    {{- toYaml .Values.global.proxy | nindent 4 }}
  proxy_init:
    {{- toYaml .Values.global.proxy_init | nindent 4 }}
sidecarInjectorWebhook:
  rewriteAppHTTPProbe: {{ .Values.sidecarInjectorWebhook.rewriteAppHTTPProbe }}
{{- end }}

{{/* A scalar of any type as text; Go would print large numbers in scientific notation */}}
{{- define "control-plane.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Whether a validating webhook is binding, as its control plane has made it; an upgrade leaves that */}}
{{- define "control-plane.livePolicy" -}}
{{- $policy := "Ignore" }}
{{- $live := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" . | default dict }}
{{- range dig "webhooks" list $live }}{{ $policy = .failurePolicy }}{{ end }}
{{- $policy }}
{{- end }}
