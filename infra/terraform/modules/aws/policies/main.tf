# Policies of AWS as JSON: what agents, tasks and the control plane may do, and nothing else. No provider.
#
# tests/terraform/test_policies.py compares them with the calls that the code makes.

terraform {
  required_version = ">= 1.11"
}

variable "bucket_arn" {
  type        = string
  description = "ARN of the bucket."

  validation {
    condition     = can(regex("^arn:aws[-a-z]*:s3:::[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]$", var.bucket_arn))
    error_message = "bucket_arn must be the ARN of a bucket, such as arn:aws:s3:::volary."
  }
}

variable "prefix" {
  type        = string
  default     = ""
  description = "Only objects below this prefix; empty: all. No slash at either end."

  validation {
    condition     = !startswith(var.prefix, "/") && !endswith(var.prefix, "/") && !strcontains(var.prefix, "*")
    error_message = "prefix must have no slash at either end, and no asterisk."
  }
}

variable "bucket_key_arn" {
  type        = string
  default     = ""
  description = "ARN of the KMS key that encrypts the bucket; empty: S3's own."
}

variable "secrets_key_arn" {
  type        = string
  default     = ""
  description = "ARN of the KMS key that seals secrets; empty: none."
}

locals {
  below = var.prefix == "" ? "*" : "${var.prefix}/*"

  objects = {
    Sid      = "Objects"
    Effect   = "Allow"
    Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    Resource = "${var.bucket_arn}/${local.below}"
  }
  list = merge(
    {
      Sid      = "List"
      Effect   = "Allow"
      Action   = ["s3:ListBucket"]
      Resource = var.bucket_arn
    },
    var.prefix == "" ? {} : { Condition = { StringLike = { "s3:prefix" = [var.prefix, local.below] } } },
  )
  bucket_key = var.bucket_key_arn == "" ? [] : [{
    Sid      = "BucketKey"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = var.bucket_key_arn
  }]
  secrets_key = var.secrets_key_arn == "" ? [] : [{
    Sid      = "SecretsKey"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    Resource = var.secrets_key_arn
  }]
}

output "store" {
  value       = jsonencode({ Version = "2012-10-17", Statement = concat([local.objects, local.list], local.bucket_key) })
  description = "Of agents and tasks: objects of the bucket."
}

output "control_plane" {
  value = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.objects, local.list], local.bucket_key, local.secrets_key)
  })
  description = "Of the control plane: objects of the bucket, and the key that seals secrets."
}

output "bucket" {
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EncryptedConnectionsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [var.bucket_arn, "${var.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  description = "Of the bucket: requests over plain HTTP are refused."
}

output "pod_identity_trust" {
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }]
  })
  description = "Of a role that pods take by EKS Pod Identity."
}
