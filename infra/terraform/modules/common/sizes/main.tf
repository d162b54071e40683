# Sizes of a control plane: replicas and their database. No provider.
#
# One replica was measured at about 900 actions a second from Enqueue to the agent, for 0.7 ms of CPU of the
# control plane and 0.35 ms of Postgres an action (docs/benchmarks.md). The sizes leave half of that free.

terraform {
  required_version = ">= 1.11"
}

variable "size" {
  type        = string
  description = "small, medium or large."

  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "size must be small, medium or large."
  }
}

locals {
  sizes = {
    small = {
      actions_per_second = 400
      replicas           = 2
      cpu                = "500m"
      memory             = "1Gi"
      pool_size          = 10
      database           = { vcpus = 2, memory_gib = 8, storage_gib = 100 }
    }
    medium = {
      actions_per_second = 1200
      replicas           = 3
      cpu                = "1"
      memory             = "2Gi"
      pool_size          = 15
      database           = { vcpus = 4, memory_gib = 16, storage_gib = 500 }
    }
    large = {
      actions_per_second = 3000
      replicas           = 6
      cpu                = "1"
      memory             = "2Gi"
      pool_size          = 20
      database           = { vcpus = 8, memory_gib = 32, storage_gib = 2000 }
    }
  }
}

output "size" {
  value       = local.sizes[var.size]
  description = "Replicas, their requests, connections of each to the database, and the database's machine. actions_per_second is computed from the measurement of one replica, not measured at this size."
}
