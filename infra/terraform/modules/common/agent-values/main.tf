# Values of the agent's chart, for any cloud. No provider.

terraform {
  required_version = ">= 1.11"
}

variable "control_plane_address" {
  type        = string
  description = "Host of the control plane."
}

variable "join_token_secret" {
  type        = string
  description = "Name of the Secret with the join token."
}

variable "service_account" {
  type        = string
  description = "Name of the agent's service account."
}

variable "annotations" {
  type        = map(string)
  default     = {}
  description = "Annotations of the service account, for workload identity."
}

variable "image" {
  type        = string
  description = "The agent's image, without a tag; the chart knows the tag."
}

variable "copilot_image" {
  type        = string
  description = "The copilot's image, with a tag."
}

variable "pod_identity" {
  type        = bool
  default     = false
  description = "Whether EKS Pod Identity gives the agent its role: its network policy then allows the identity agent of the node."
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
    controlPlane   = { address = var.control_plane_address }
    joinToken      = { existingSecret = var.join_token_secret }
    image          = { repository = var.image }
    copilot        = { image = var.copilot_image }
    serviceAccount = { name = var.service_account, annotations = var.annotations }
    podLabels      = var.pod_labels
    storage        = { azureAccount = var.azure_account }
    tasks          = { pods = { labels = var.pod_labels } }
    networkPolicy  = { extraEgress = local.egress }
  })
  description = "Values as YAML."
}
