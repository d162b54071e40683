{{/*
Renders the rules of permissions.yaml for one scope and the enabled features, as rules of a role.

Takes (dict "root" $ "scope" "home"|"tasks"|"cluster").
*/}}
{{- define "agent.rules" -}}
{{- $root := .root -}}
{{- $scope := .scope -}}
{{- $features := dict "agent" true "createNamespaces" (and $root.Values.namespaces.create (eq (include "agent.onlyNamespace" $root) "")) "pullSecrets" (not (empty $root.Values.tasks.pullSecrets)) "connectors" (or (not (empty $root.Values.connectors.addresses)) (not (empty $root.Values.connectors.byType))) -}}
{{- $features = merge $features $root.Values.plugins -}}
{{- $names := dict
      "proxyAuthority" (list (include "agent.proxyName" $root))
      "proxyCertificate" (list "volary-proxy")
      "proxyService" (list (include "agent.proxyName" $root))
      "lease" (list (include "agent.fullname" $root))
      "identity" (list (printf "%s-identity" (include "agent.proxyName" $root)))
      "secretsKey" (list (printf "%s-secrets-key" (include "agent.proxyName" $root)))
      "pullSecrets" $root.Values.tasks.pullSecrets
      "taskActionDefinition" (list "taskactions.volary.dev")
      "taskSecrets" (list "volary-secrets") -}}
{{- range $root.Files.Get "permissions.yaml" | fromYamlArray }}
{{- if and (eq .scope $scope) (index $features .feature) }}
- apiGroups: [{{ .group | quote }}] # {{ .why }}
  resources: [{{ .resource | quote }}]
  {{- if .named }}
  resourceNames: {{ index $names .named | toJson }}
  {{- end }}
  verbs: {{ .verbs | toJson }}
{{- end }}
{{- end }}
{{- end -}}
