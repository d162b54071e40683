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

locals {
  identity_agent = {
    to    = [{ ipBlock = { cidr = "169.254.170.23/32" } }]
    ports = [{ port = 80 }]
  }
}

output "values" {
  value = yamlencode({
    controlPlane   = { address = var.control_plane_address }
    joinToken      = { existingSecret = var.join_token_secret }
    image          = { repository = var.image }
    copilot        = { image = var.copilot_image }
    serviceAccount = { name = var.service_account, annotations = var.annotations }
    networkPolicy  = { extraEgress = var.pod_identity ? [local.identity_agent] : [] }
  })
  description = "Values as YAML."
}
