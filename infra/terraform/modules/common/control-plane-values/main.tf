# Values of the control plane's chart, for any cloud. No provider.

terraform {
  required_version = ">= 1.11"
}

variable "host" {
  type        = string
  description = "Host of the control plane."
}

variable "size" {
  type = object({
    replicas  = number
    cpu       = string
    memory    = string
    pool_size = number
  })
  description = "A size of the module sizes."
}

variable "tls_secret" {
  type        = string
  description = "Name of the Secret with the certificate."
}

variable "database_secret" {
  type        = string
  description = "Name of the Secret with the database's addresses."
}

variable "keys_secret" {
  type        = string
  description = "Name of the Secret with the keys."
}

variable "blob_base" {
  type        = string
  description = "Where blobs are, as in s3://bucket/volary."

  validation {
    condition     = can(regex("^s3://[^/]+(/[^/]+)*$", var.blob_base))
    error_message = "blob_base must be like s3://bucket/volary, without a slash at the end."
  }
}

variable "region" {
  type        = string
  description = "Region of the bucket."
}

variable "service_account" {
  type        = string
  description = "Name of the service account."
}

variable "annotations" {
  type        = map(string)
  default     = {}
  description = "Annotations of the service account, for workload identity."
}

variable "service_annotations" {
  type        = map(string)
  default     = {}
  description = "Annotations of the service, for the cloud's load balancer."
}

variable "image" {
  type        = string
  description = "The image, without a tag; the chart knows the tag."
}

variable "pod_identity" {
  type        = bool
  default     = false
  description = "Whether EKS Pod Identity gives the pods their role: the network policy then allows the identity agent of the node."
}

variable "variables" {
  type        = map(string)
  default     = {}
  description = "More settings, by their variables."
}

locals {
  identity_agent = {
    to    = [{ ipBlock = { cidr = "169.254.170.23/32" } }]
    ports = [{ port = 80 }]
  }
}

output "values" {
  value = yamlencode({
    publicUrl      = "https://${var.host}"
    image          = { repository = var.image }
    replicas       = var.size.replicas
    database       = { existingSecret = var.database_secret, poolSize = var.size.pool_size }
    migration      = { ownerKey = "owner-url" }
    secrets        = { existingSecret = var.keys_secret }
    blobs          = { base = var.blob_base, s3 = { region = var.region, pathStyle = false } }
    tls            = { existingSecret = var.tls_secret }
    linkTls        = { existingSecret = var.tls_secret }
    service        = { type = "LoadBalancer", annotations = var.service_annotations }
    serviceAccount = { name = var.service_account, annotations = var.annotations }
    resources      = { requests = { cpu = var.size.cpu, memory = var.size.memory }, limits = { memory = "4Gi" } }
    networkPolicy  = { extraEgress = var.pod_identity ? [local.identity_agent] : [] }
    extraEnv       = [for name, value in var.variables : { name = name, value = value }]
    topologySpreadConstraints = [{
      maxSkew           = 1
      topologyKey       = "topology.kubernetes.io/zone"
      whenUnsatisfiable = "DoNotSchedule"
    }]
  })
  description = "Values as YAML."
}
