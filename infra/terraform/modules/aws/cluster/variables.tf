variable "name" {
  type        = string
  description = "Name of the cluster, and beginning of the names of its parts."
}

variable "region" {
  type        = string
  description = "Region, as in eu-central-1."

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region of AWS, such as eu-central-1."
  }
}

variable "cidr" {
  type        = string
  description = "Addresses of the network, from /16 to /20."
}

variable "zones" {
  type        = list(string)
  description = "Availability zones: two to four."
}

variable "kubernetes_version" {
  type        = string
  description = "Version of Kubernetes, from 1.29."

  validation {
    condition     = can(regex("^1\\.(29|[3-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be from 1.29, as in 1.33."
  }
}

variable "api_access_cidrs" {
  type        = list(string)
  description = "Networks that reach the API server from outside; none: only the network of the cluster does."

  validation {
    condition     = alltrue([for cidr in var.api_access_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "api_access_cidrs must be networks, and not the whole internet."
  }
}

variable "admin_arns" {
  type        = list(string)
  description = "Principals of IAM that administer the cluster; name the one that applies this."
}

variable "node_groups" {
  type = map(object({
    instance_types = list(string)
    min            = number
    max            = number
    spot           = optional(bool, false)
    labels         = optional(map(string), {})
  }))
  description = "Groups of nodes, by name."

  validation {
    condition     = length(var.node_groups) > 0 && alltrue([for group in values(var.node_groups) : group.min >= 0 && group.max >= max(group.min, 1)])
    error_message = "node_groups must have a group, and each a max of at least 1 and of at least its min."
  }
}

variable "node_disk_gib" {
  type        = number
  default     = 100
  description = "Disk of each node, in GiB."
}

variable "tags" {
  type        = map(string)
  description = "Tags of everything."
}
