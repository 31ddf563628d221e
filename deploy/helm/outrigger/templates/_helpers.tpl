{{- define "outrigger.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "outrigger.left" -}}
{{- concat (list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace) .Values.excludeNamespaces | uniq | toJson }}
{{- end }}

{{- define "outrigger.sidecar" -}}
{{- if ne .Values.sidecar.kind "auto" }}{{ .Values.sidecar.kind }}{{ else }}{{ semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version | ternary "native" "ordinary" }}{{ end }}
{{- end }}

{{- define "outrigger.secret" -}}
{{- if eq .Values.certificate.kind "secret" }}{{ .Values.certificate.secretName }}{{ else }}outrigger-injector-tls{{ end }}
{{- end }}

{{- define "outrigger.labels" -}}
app.kubernetes.io/part-of: outrigger
{{- end }}

{{- define "outrigger.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1337
runAsGroup: 1337
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "outrigger.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "outrigger.certificatePod" -}}
metadata:
  labels:
    app.kubernetes.io/name: outrigger-certificate
    {{- include "outrigger.labels" . | nindent 4 }}
    outrigger.dev/inject: "false"
spec:
  serviceAccountName: outrigger-certificate
  restartPolicy: OnFailure
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  securityContext:
    {{- include "outrigger.podSecurity" . | nindent 4 }}
  containers:
    - name: certificate
      image: {{ include "outrigger.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [/bin/outrigger-inject]
      args:
        - --make-certificate
        - --service=outrigger-injector.{{ .Release.Namespace }}.svc
        - --secret={{ .Release.Namespace }}/outrigger-injector-tls
        - --webhook-configuration=outrigger-injector
      resources:
        requests: {cpu: 10m, memory: 16Mi}
        limits: {memory: 64Mi}
      securityContext:
        {{- include "outrigger.containerSecurity" . | nindent 8 }}
{{- end }}
