# Names and conditions of Azure: storage accounts, Kubernetes service accounts as subjects, and what an
# identity may reach of a container. No provider.

terraform {
  required_version = ">= 1.11"
}

variable "name" {
  type        = string
  description = "Name of the environment or control plane."
}

variable "scope" {
  type        = string
  description = "What makes a storage account's name unique in the world: the subscription and the region."
}

variable "accounts" {
  type        = map(map(list(string)))
  description = "Identities to make, by suffix: the Kubernetes service accounts that act as each, by namespace."
}

variable "prefix" {
  type        = string
  default     = ""
  description = "Only blobs below this prefix; empty: all. No slash at either end."

  validation {
    condition     = !startswith(var.prefix, "/") && !endswith(var.prefix, "/") && length(regexall("['*?]", var.prefix)) == 0
    error_message = "prefix must have no slash at either end, no quotation mark and no wildcard."
  }
}

locals {
  blobs   = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
  letters = replace(lower(var.name), "/[^a-z0-9]/", "")
  actions = ["read", "write", "add/action", "delete", "move/action"]
  lists   = "ActionMatches{'${local.blobs}/read'} AND SubOperationMatches{'Blob.List'}"
  touched = join(" AND ", [for action in local.actions : "!(ActionMatches{'${local.blobs}/${action}'}${action == "read" ? " AND NOT SubOperationMatches{'Blob.List'}" : ""})"])
}

output "storage_account" {
  # 3 to 24 small letters and digits, unique in the world: the name and a digest of the whole one.
  value       = "vol${substr(local.letters, 0, 11)}${substr(sha256("${var.name}/${var.scope}"), 0, 10)}"
  description = "Name of the storage account."
}

output "subjects" {
  value = merge([
    for suffix, namespaces in var.accounts : merge([
      for namespace, names in namespaces : {
        for name in names : "${suffix}-${namespace}-${name}" => {
          suffix  = suffix
          subject = "system:serviceaccount:${namespace}:${name}"
        }
      }
    ]...)
  ]...)
  description = "Kubernetes service accounts as subjects of federated credentials, with the suffix of their identity."
}

output "condition" {
  value = var.prefix == "" ? null : join(" AND ", [
    "((${local.touched}) OR (@Resource[${local.blobs}:path] StringLike '${var.prefix}/*'))",
    "((!(${local.lists})) OR (@Request[${local.blobs}:prefix] StringLike '${var.prefix}/*'))",
  ])
  description = "Condition of a role assignment: blobs below the prefix, and lists of them; null for the whole container."
}

output "store_role" {
  value       = "Storage Blob Data Contributor"
  description = "Role on a container: its blobs."
}

output "signer_role" {
  value       = "Storage Blob Delegator"
  description = "Role on a storage account: keys that sign links for the identity."
}
