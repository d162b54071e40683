variable "project" {
  type        = string
  description = "Id of the project."
}

variable "name" {
  type        = string
  description = "Name of the cluster, and beginning of the names of its parts."
}

variable "nodes_account_id" {
  type        = string
  description = "Id of the service account of the nodes."
}

variable "region" {
  type        = string
  description = "Region, as in europe-west3."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region must be a region of Google Cloud, such as europe-west3."
  }
}

variable "zones" {
  type        = list(string)
  description = "Zones of the region: two to four."

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, "${var.region}-")])
    error_message = "zones must be of the region, as in europe-west3-a."
  }
}

variable "cidr" {
  type        = string
  description = "Addresses of the network, from /16 to /20: half for pods, a sixteenth for nodes."
}

variable "kubernetes_version" {
  type        = string
  description = "Least version of Kubernetes, from 1.30; the release channel REGULAR upgrades it."

  validation {
    condition     = can(regex("^1\\.[3-9][0-9]$", var.kubernetes_version))
    error_message = "kubernetes_version must be from 1.30, as in 1.33."
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

variable "node_groups" {
  type = map(object({
    machine_type = string
    min          = number
    max          = number
    spot         = optional(bool, false)
    labels       = optional(map(string), {})
  }))
  description = "Groups of nodes, by name; min and max are of all zones together."

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

variable "deletion_protection" {
  type        = bool
  default     = true
  description = "Whether Terraform refuses to delete the cluster."
}

variable "labels" {
  type        = map(string)
  description = "Labels of everything."
}
