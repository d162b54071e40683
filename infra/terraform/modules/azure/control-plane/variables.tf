variable "name" {
  type        = string
  description = "Name of the control plane: at most 24 small letters, digits and dashes."
}

variable "subscription_id" {
  type        = string
  description = "Id of the subscription, which makes the storage account's name unique."

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "subscription_id must be a UUID in small letters."
  }
}

variable "location" {
  type        = string
  description = "Region, as in germanywestcentral."
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
  type = object({
    name           = string
    resource_group = string
  })
  default     = null
  description = "The DNS zone of the host, as in example.com; null: you make the record."
}

variable "cluster" {
  type = object({
    zones              = list(string)
    cidr               = optional(string, "10.1.0.0/16")
    kubernetes_version = optional(string, "1.33")
    api_access_cidrs   = optional(list(string), [])
    admin_group_ids    = list(string)
    vm_size            = optional(string, "Standard_D4ds_v5")
  })
  description = "The cluster to make."
}

variable "database_owner_password" {
  type        = string
  ephemeral   = true
  description = "Password of volary_owner. It is in no state; another database_owner_password_version writes it again."

  validation {
    condition     = length(var.database_owner_password) >= 16
    error_message = "database_owner_password must have at least 16 characters."
  }
}

variable "database_owner_password_version" {
  type        = number
  default     = 1
  description = "Another number writes database_owner_password again."
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
    postgres_version = optional(string, "17")
    backup_days      = optional(number, 14)
  })
  default     = {}
  description = "The database. Any moment of the last backup_days can be restored."

  validation {
    condition     = var.database.backup_days >= 7 && var.database.backup_days <= 35
    error_message = "database.backup_days must be from 7 to 35."
  }
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
  description = "Tags of everything."
}
