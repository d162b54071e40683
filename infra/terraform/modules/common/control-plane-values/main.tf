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
    condition     = can(regex("^(s3|gs|abfs)://[^/@]+(/[^/]+)*$", var.blob_base))
    error_message = "blob_base must be like s3://bucket/volary, gs://bucket/volary or abfs://container/volary, without a slash at the end."
  }
}

variable "region" {
  type        = string
  default     = ""
  description = "Region of an S3 bucket."
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

variable "gke_metadata" {
  type        = bool
  default     = false
  description = "Whether GKE's metadata server gives the pods their identity: the network policy then allows it."
}

variable "pod_labels" {
  type        = map(string)
  default     = {}
  description = "Labels of the pods, for workload identity."
}

variable "azure_account" {
  type        = string
  default     = ""
  description = "Storage account of a store abfs://."
}

locals {
  identity_agent = {
    to    = [{ ipBlock = { cidr = "169.254.170.23/32" } }]
    ports = [{ port = 80 }]
  }
  # GKE's metadata server: pods reach it at the first address with Dataplane V2, else at the second.
  metadata_servers = [
    { to = [{ ipBlock = { cidr = "169.254.169.254/32" } }], ports = [{ port = 80 }] },
    { to = [{ ipBlock = { cidr = "169.254.169.252/32" } }], ports = [{ port = 988 }] },
  ]
  egress = concat(var.pod_identity ? [local.identity_agent] : [], var.gke_metadata ? local.metadata_servers : [])
}

output "values" {
  value = yamlencode({
    publicUrl = "https://${var.host}"
    image     = { repository = var.image }
    replicas  = var.size.replicas
    database  = { existingSecret = var.database_secret, poolSize = var.size.pool_size }
    migration = { ownerKey = "owner-url" }
    secrets   = { existingSecret = var.keys_secret }
    blobs = {
      base  = var.blob_base
      s3    = { region = var.region, pathStyle = false }
      azure = { account = var.azure_account }
    }
    tls            = { existingSecret = var.tls_secret }
    linkTls        = { existingSecret = var.tls_secret }
    service        = { type = "LoadBalancer", annotations = var.service_annotations }
    serviceAccount = { name = var.service_account, annotations = var.annotations }
    resources      = { requests = { cpu = var.size.cpu, memory = var.size.memory }, limits = { memory = "4Gi" } }
    podLabels      = var.pod_labels
    networkPolicy  = { extraEgress = local.egress }
    extraEnv       = [for name, value in var.variables : { name = name, value = value }]
    topologySpreadConstraints = [{
      maxSkew           = 1
      topologyKey       = "topology.kubernetes.io/zone"
      whenUnsatisfiable = "DoNotSchedule"
    }]
  })
  description = "Values as YAML."
}
