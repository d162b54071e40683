{{- define "agent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else if hasPrefix (printf "%s-" .Release.Name) $name -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of cluster-scoped objects. A namespace has no dot, so "a-b" with "c" is never "a" with "b-c". */}}
{{- define "agent.clusterName" -}}
{{- printf "%s.%s" .Release.Namespace (include "agent.fullname" .) -}}
{{- end -}}

{{- define "agent.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selectorLabels" . }}
app.kubernetes.io/part-of: volary
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "agent.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "give serviceAccount.name when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "agent.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "agent.copilotImage" -}}
{{- default (printf "volary/copilot:%s" (default .Chart.AppVersion .Values.image.tag)) .Values.copilot.image -}}
{{- end -}}

{{- define "agent.proxyName" -}}
{{- printf "%s-proxy" (include "agent.fullname" .) -}}
{{- end -}}

{{/* Address of the API proxy for pods. Without the cluster domain, which differs; pods' search path adds it. */}}
{{- define "agent.proxyAddress" -}}
{{- $host := printf "%s.%s.svc" (include "agent.proxyName" .) .Release.Namespace -}}
{{- if or (contains "docker" $host) (contains "localhost" $host) -}}
{{- fail (printf "the SDK in a pod would speak plaintext to %s, because its name contains \"docker\" or \"localhost\"; choose another release name, namespace or fullnameOverride" $host) -}}
{{- end -}}
{{- printf "%s:443" $host -}}
{{- end -}}

{{/* The one namespace of all tasks, or "" if it depends on the task. */}}
{{- define "agent.onlyNamespace" -}}
{{- if not (contains "{" .Values.namespaces.template) -}}
{{- .Values.namespaces.template -}}
{{- end -}}
{{- end -}}

{{/* Addresses of the control plane: as given, or at the default port of its address. */}}
{{- define "agent.link" -}}
{{- default (printf "%s:8101" (required "give controlPlane.address: the host of the control plane" (default .Values.controlPlane.link .Values.controlPlane.address))) .Values.controlPlane.link -}}
{{- end -}}

{{- define "agent.api" -}}
{{- default (printf "%s:443" (required "give controlPlane.address, or controlPlane.api" (default .Values.controlPlane.api .Values.controlPlane.address))) .Values.controlPlane.api -}}
{{- end -}}

{{- define "agent.enrolment" -}}
{{- default (printf "%s:8102" (include "agent.link" . | splitList "," | first | splitList ":" | first)) .Values.controlPlane.enrolment -}}
{{- end -}}
