{{- /* KubeEdge's part of cloudcore.yaml: what was given, or what the cluster has. Empty without either. */}}
{{- define "datastream.stock" -}}
{{- $live := lookup "v1" "ConfigMap" "kubeedge" "cloudcore" | default dict -}}
{{- .Values.cloudcore.yaml | default (dig "data" "cloudcore.yaml" "" $live) -}}
{{- end }}
