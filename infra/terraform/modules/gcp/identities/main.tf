# Identities and conditions of Google Cloud: names of service accounts, who may act as them, and what they may
# reach of a bucket. No provider.

terraform {
  required_version = ">= 1.11"
}

variable "prefix" {
  type        = string
  description = "Beginning of the names, as the module names has it."

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{0,29}[a-z0-9]$", var.prefix))
    error_message = "prefix must be that of the module names."
  }
}

variable "project" {
  type        = string
  description = "Id of the project."

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be the id of a project: 6 to 30 small letters, digits and dashes."
  }
}

variable "accounts" {
  type        = map(map(list(string)))
  description = "Service accounts to make, by suffix: the Kubernetes service accounts that act as each, by namespace."
}

variable "bucket" {
  type        = string
  default     = ""
  description = "Name of the bucket of the condition."
}

variable "bucket_prefix" {
  type        = string
  default     = ""
  description = "Only objects below this prefix; empty: all. No slash at either end."

  validation {
    condition     = !startswith(var.bucket_prefix, "/") && !endswith(var.bucket_prefix, "/") && !strcontains(var.bucket_prefix, "\"")
    error_message = "bucket_prefix must have no slash at either end, and no quotation mark."
  }
}

locals {
  whole = { for suffix, _ in var.accounts : suffix => "${var.prefix}-${suffix}" }
}

output "account_ids" {
  # An id has at most 30 characters; a longer one ends in a digest of the whole one.
  value = {
    for suffix, id in local.whole : suffix => length(id) <= 30 ? id : "${trimsuffix(substr(id, 0, 23), "-")}-${substr(sha256(id), 0, 6)}"
  }
  description = "Ids of the service accounts, by suffix: at most 30 characters."
}

output "members" {
  value = merge([
    for suffix, namespaces in var.accounts : merge([
      for namespace, names in namespaces : {
        for name in names : "${suffix}/${namespace}/${name}" => {
          suffix = suffix
          member = "serviceAccount:${var.project}.svc.id.goog[${namespace}/${name}]"
        }
      }
    ]...)
  ]...)
  description = "Kubernetes service accounts as members of IAM, with the suffix of the account that they act as."
}

output "condition" {
  value = var.bucket_prefix == "" ? "" : join(" || ", [
    "resource.name.startsWith(\"projects/_/buckets/${var.bucket}/objects/${var.bucket_prefix}/\")",
    "api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"${var.bucket_prefix}/\")",
  ])
  description = "Condition of IAM: objects below the prefix, and lists of them; empty for the whole bucket."
}

output "store_role" {
  value       = "roles/storage.objectUser"
  description = "Role on a bucket: objects and uploads in parts, but neither their permissions nor the bucket."
}

output "signer_role" {
  value       = "roles/iam.serviceAccountTokenCreator"
  description = "Role of a service account on itself: IAM signs its links."
}
