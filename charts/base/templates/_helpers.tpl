{{- define "base.labels" -}}
app.kubernetes.io/name: meltemi-base
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: meltemi
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "base.istioNamespace" -}}
{{ .Values.istioNamespace | default .Release.Namespace }}
{{- end }}
