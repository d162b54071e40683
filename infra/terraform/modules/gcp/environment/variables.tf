variable "name" {
  type        = string
  description = "Name of the environment: at most 24 small letters, digits and dashes. Its cluster has this name in Volary."
}

variable "project" {
  type        = string
  description = "Id of the project, which makes the bucket's name unique."
}

variable "region" {
  type        = string
  description = "Region, as in europe-west3."
}

variable "control_plane_address" {
  type        = string
  description = "Host of the control plane, without a scheme."

  validation {
    condition     = can(regex("^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", var.control_plane_address))
    error_message = "control_plane_address must be a host such as volary.example.com, without a scheme or path."
  }
}

variable "join_token" {
  type        = string
  ephemeral   = true
  description = "Join token of the cluster, as volary_cluster.join_token has it. It works once, for fifteen minutes, and is in no state."

  validation {
    condition     = length(var.join_token) >= 20
    error_message = "join_token is too short to be one; use that of volary_cluster."
  }
}

variable "join_token_version" {
  type        = number
  default     = 1
  description = "Another number writes join_token again."
}

variable "existing_cluster" {
  type = object({
    name                  = string
    endpoint              = string
    certificate_authority = string
  })
  default     = null
  description = "A GKE cluster of the project to use, with workload identity; null: a network and a cluster are made."
}

variable "new_cluster" {
  type = object({
    zones               = list(string)
    cidr                = optional(string, "10.0.0.0/16")
    kubernetes_version  = optional(string, "1.33")
    api_access_cidrs    = optional(list(string), [])
    deletion_protection = optional(bool, true)
    node_groups = map(object({
      machine_type = string
      min          = number
      max          = number
      spot         = optional(bool, false)
      labels       = optional(map(string), {})
    }))
  })
  default     = null
  description = "The cluster to make; null: existing_cluster is used."

  validation {
    condition     = (var.new_cluster == null) != (var.existing_cluster == null)
    error_message = "give either new_cluster or existing_cluster."
  }
}

variable "store" {
  type = object({
    bucket = string
    prefix = string
  })
  description = "Where the control plane keeps inputs, outputs and logs of this org: its bucket, and the org's prefix in it."
}

variable "task_service_accounts" {
  type        = map(list(string))
  default     = {}
  description = "Kubernetes service accounts of tasks that may use the buckets, by namespace. The output task_annotation goes to each."
}

variable "chart" {
  type = object({
    path    = optional(string, "volary-agent")
    version = optional(string)
    repo    = optional(string)
    image   = string
    copilot = string
  })
  description = "The agent's chart: a path, or a name with a repository and a version; and the images."
}

variable "values" {
  type        = any
  default     = {}
  description = "More values of the chart; they go before those of this module."
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels of everything that can have any."
}
