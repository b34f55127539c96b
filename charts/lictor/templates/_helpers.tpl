{{- define "lictor.labels" -}}
app.kubernetes.io/name: lictor
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "lictor.selector" -}}
app.kubernetes.io/name: lictor
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "lictor.image" -}}
{{- $tag := default .context.Chart.AppVersion .context.Values.image.tag -}}
{{- if .digest -}}
{{ .context.Values.image.repository }}/{{ .name }}@{{ .digest }}
{{- else -}}
{{ .context.Values.image.repository }}/{{ .name }}:{{ $tag }}
{{- end -}}
{{- end }}

{{- define "lictor.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:lictor-operator
{{- end }}

{{- define "lictor.nodeWorkerUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:lictor-node-worker
{{- end }}
