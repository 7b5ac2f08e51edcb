{{- /* Names. Those of the default revision have no suffix. */}}
{{- define "meltemi.rev" -}}
{{ .Values.revision | default "default" }}
{{- end }}

{{- define "meltemi.isDefault" -}}
{{- if eq (include "meltemi.rev" .) "default" }}true{{ end }}
{{- end }}

{{- define "meltemi.suffix" -}}
{{- if not (include "meltemi.isDefault" .) }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "meltemi.name" -}}
istiod{{ include "meltemi.suffix" . }}
{{- end }}

{{- define "meltemi.namespace" -}}
{{ .Values.global.istioNamespace | default .Release.Namespace }}
{{- end }}

{{- /* Of cluster-wide objects: two namespaces may each hold a control plane. */}}
{{- define "meltemi.clusterName" -}}
{{ include "meltemi.suffix" . }}-{{ include "meltemi.namespace" . }}
{{- end }}

{{- define "meltemi.namespaceSuffix" -}}
{{- if ne (include "meltemi.namespace" .) "istio-system" }}-{{ include "meltemi.namespace" . }}{{ end }}
{{- end }}

{{- define "meltemi.selectorLabels" -}}
app: istiod
istio.io/rev: {{ include "meltemi.rev" . | quote }}
{{- end }}

{{- define "meltemi.labels" -}}
{{ include "meltemi.selectorLabels" . }}
{{ include "meltemi.commonLabels" . }}
{{- end }}

{{- define "meltemi.commonLabels" -}}
app.kubernetes.io/name: meltemi
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: meltemi
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "meltemi.image" -}}
{{- with .Values.image }}{{ . }}{{ else -}}
{{- $image := .Values.global.proxy.image -}}
{{- if contains "/" $image }}{{ $image }}{{ else -}}
{{- with .Values.global.hub }}{{ . }}/{{ end }}{{ $image }}:{{ .Values.global.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- define "meltemi.cleanupHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "meltemi.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "meltemi.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1337
runAsGroup: 1337
fsGroup: 1337
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "meltemi.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}
