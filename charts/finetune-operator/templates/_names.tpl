{{- define "finetune.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "finetune.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "finetune.name" .) }}
{{- end }}

{{/* What a selector matches: it cannot change once the Deployment exists. */}}
{{- define "finetune.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "finetune.labels" -}}
{{ include "finetune.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "finetune.image" -}}
{{- with .Values.image -}}
{{- if .reference }}{{ .reference -}}
{{- else if .digest }}{{ .repository }}@{{ .digest -}}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The settings file. A name of its own for the Lease, so that two releases in a namespace do not wait for another. */}}
{{- define "finetune.settings" -}}
{{- $given := dict "leaseName" (include "finetune.name" .) "trainer" (dict "image" .Values.trainer.image) -}}
{{- $_ := set $given "hardwareFile" "/etc/finetune-hardware/hardware.yaml" -}}
{{- mustMergeOverwrite $given (deepCopy .Values.settings) | toYaml -}}
{{- end }}

{{- define "finetune.leaseName" -}}
{{- (include "finetune.settings" . | fromYaml).leaseName -}}
{{- end }}

{{/*
The hardware table: the rows that come with the operator, with those of the value `hardware` over them. A row of a known
name or alias gives fields to that row, as the operator itself would do it; another name is another row.
*/}}
{{- define "finetune.hardware" -}}
{{- $rows := .Files.Get "files/hardware.yaml" | fromYamlArray -}}
{{- range $given := .Values.hardware -}}
{{- $known := false -}}
{{- range $row := $rows -}}
{{- if has (lower $given.name) (concat (list (lower $row.name)) (splitList " " (lower (join " " ($row.aliases | default list))))) -}}
{{- $known = true -}}
{{- range $field, $value := omit $given "name" -}}
{{- $_ := set $row $field $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $known -}}
{{- $rows = append $rows $given -}}
{{- end -}}
{{- end -}}
{{- $rows | toYaml -}}
{{- end }}
