variable "name" {
  type        = string
  description = "Name of the control plane: at most 24 small letters, digits and dashes."
}

variable "project" {
  type        = string
  description = "Id of the project, which makes the bucket's name unique."
}

variable "region" {
  type        = string
  description = "Region, as in europe-west3."
}

variable "size" {
  type        = string
  default     = "small"
  description = "small, medium or large: the module sizes says what each carries."
}

variable "host" {
  type        = string
  description = "Host of the control plane, as in volary.example.com."

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$", var.host))
    error_message = "host must be a host such as volary.example.com, without a scheme or path."
  }
}

variable "dns_zone" {
  type        = string
  default     = ""
  description = "Name of the Cloud DNS zone of the host; empty: you make the record."
}

variable "cluster" {
  type = object({
    zones               = list(string)
    cidr                = optional(string, "10.1.0.0/16")
    kubernetes_version  = optional(string, "1.33")
    api_access_cidrs    = optional(list(string), [])
    machine_type        = optional(string, "e2-standard-4")
    deletion_protection = optional(bool, true)
  })
  description = "The cluster to make."
}

variable "tls_secret" {
  type        = string
  description = "Name of the Secret with the certificate of the host, of the type kubernetes.io/tls, such as cert-manager keeps. Clients and agents connect with it."
}

variable "database_secret" {
  type        = string
  description = "Name of the Secret with the database's addresses as url and owner-url. The output database says how to make it."
}

variable "keys_secret" {
  type        = string
  description = "Name of the Secret with blob-signing-key and sealing-key."
}

variable "database" {
  type = object({
    postgres_version    = optional(string, "17")
    backup_days         = optional(number, 14)
    deletion_protection = optional(bool, true)
  })
  default     = {}
  description = "The database. Any moment of the last backup_days can be restored."

  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "database.backup_days must be from 1 to 35: without backups nothing can be restored."
  }
}

variable "bucket" {
  type        = string
  default     = ""
  description = "Name of a bucket to use; empty: one is made."
}

variable "chart" {
  type = object({
    path    = optional(string, "volary-controlplane")
    version = optional(string)
    repo    = optional(string)
    image   = string
  })
  description = "The control plane's chart: a path, or a name with a repository and a version; and the image."
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
