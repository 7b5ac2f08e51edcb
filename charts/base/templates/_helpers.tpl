{{- define "base.labels" -}}
app.kubernetes.io/name: meltemi-base
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: meltemi
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- /* "left" where the cluster has the object of another release, and the values say to leave such ones alone. In: a list of
the root, apiVersion, kind and name. Nothing is found by `helm template`: then all are made. */}}
{{- define "base.left" -}}
{{- $root := index . 0 }}
{{- $there := lookup (index . 1) (index . 2) "" (index . 3) }}
{{- $owner := dig "metadata" "annotations" "meta.helm.sh/release-name" "" $there }}
{{- $home := dig "metadata" "annotations" "meta.helm.sh/release-namespace" "" $there }}
{{- $own := and (eq $owner $root.Release.Name) (eq $home $root.Release.Namespace) }}
{{- if and $there (not $own) (eq $root.Values.crds.existing "keep") }}left{{ end }}
{{- end }}

{{- define "base.istioNamespace" -}}
{{ .Values.istioNamespace | default .Release.Namespace }}
{{- end }}
