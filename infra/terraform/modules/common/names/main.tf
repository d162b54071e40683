# Names and labels of everything that an environment or control plane consists of. No provider.

terraform {
  required_version = ">= 1.11"
}

variable "name" {
  type        = string
  description = "Name of the environment or control plane: at most 24 small letters, digits and dashes, beginning with a letter."

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,22}[a-z0-9])?$", var.name))
    error_message = "name must have at most 24 small letters, digits and dashes, begin with a letter, and end with a letter or digit."
  }
}

variable "scope" {
  type        = string
  default     = ""
  description = "What makes a bucket's name unique in the world: an account or project, and a region."
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels (tags) of everything, in addition to those that the module sets."

  validation {
    condition     = alltrue([for key in keys(var.labels) : !startswith(key, "volary-")])
    error_message = "labels must not begin with volary-: the module sets those."
  }
}

locals {
  long   = join("-", compact(["volary", var.name, var.scope]))
  digest = substr(sha256(local.long), 0, 8)
}

output "prefix" {
  value       = "volary-${var.name}"
  description = "Beginning of each name, at most 31 characters."
}

output "bucket" {
  # A name that is too long ends in a digest of the whole one.
  value       = length(local.long) <= 63 ? local.long : "${trimsuffix(substr(local.long, 0, 54), "-")}-${local.digest}"
  description = "Name of the bucket: at most 63 characters, by the rules of S3 and Google Cloud Storage."
}

output "labels" {
  value = merge(var.labels, {
    volary-name       = var.name
    volary-managed-by = "terraform"
  })
  description = "Labels (tags) of everything."
}
