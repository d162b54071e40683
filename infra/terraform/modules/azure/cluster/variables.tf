variable "name" {
  type        = string
  description = "Name of the cluster, and beginning of the names of its parts."
}

variable "resource_group" {
  type        = string
  description = "Name of the resource group."
}

variable "location" {
  type        = string
  description = "Region, as in germanywestcentral."

  validation {
    condition     = can(regex("^[a-z]+[0-9]?$", var.location))
    error_message = "location must be a region of Azure, such as germanywestcentral."
  }
}

variable "cidr" {
  type        = string
  description = "Addresses of the network, from /16 to /20: a quarter for nodes. 192.168.0.0/16 and 172.31.0.0/16 are of pods and services."

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr must be a network from /16 to /20, such as 10.0.0.0/16."
  }
  validation {
    condition     = !startswith(var.cidr, "192.168.") && !startswith(var.cidr, "172.31.")
    error_message = "cidr must not be in 192.168.0.0/16 or 172.31.0.0/16, which are of pods and services."
  }
}

variable "zones" {
  type        = list(string)
  description = "Availability zones, as in [\"1\", \"2\", \"3\"]: two or three."

  validation {
    condition     = length(var.zones) >= 2 && length(distinct(var.zones)) == length(var.zones) && alltrue([for zone in var.zones : contains(["1", "2", "3"], zone)])
    error_message = "zones must name two or three different zones of 1, 2 and 3."
  }
}

variable "kubernetes_version" {
  type        = string
  description = "Version of Kubernetes, from 1.30, without a patch; patches come by themselves."

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

variable "admin_group_ids" {
  type        = list(string)
  description = "Object ids of groups of Entra ID that administer the cluster; be in one to apply this."

  validation {
    condition     = length(var.admin_group_ids) > 0
    error_message = "admin_group_ids must name a group: the cluster has no local accounts."
  }
}

variable "system_vm_size" {
  type        = string
  default     = "Standard_D4ds_v5"
  description = "Machine of the nodes of Kubernetes' own pods."
}

variable "node_groups" {
  type = map(object({
    vm_size = string
    min     = number
    max     = number
    spot    = optional(bool, false)
    labels  = optional(map(string), {})
  }))
  description = "Groups of nodes, by name: at most 12 small letters and digits."

  validation {
    condition     = length(var.node_groups) > 0 && alltrue([for group in values(var.node_groups) : group.min >= 0 && group.max >= max(group.min, 1)])
    error_message = "node_groups must have a group, and each a max of at least 1 and of at least its min."
  }
  validation {
    condition     = alltrue([for name in keys(var.node_groups) : can(regex("^[a-z][a-z0-9]{0,11}$", name)) && name != "system"])
    error_message = "node_groups must have names of at most 12 small letters and digits, and not system."
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
