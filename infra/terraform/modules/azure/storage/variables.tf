variable "name" {
  type        = string
  description = "Name of the storage account."
}

variable "container" {
  type        = string
  description = "Name of the container."
}

variable "resource_group" {
  type        = string
  description = "Name of the resource group."
}

variable "location" {
  type        = string
  description = "Region, as in germanywestcentral."
}

variable "noncurrent_days" {
  type        = number
  default     = 30
  description = "Days for which deleted and replaced blobs can be restored."

  validation {
    condition     = var.noncurrent_days >= 1 && var.noncurrent_days <= 365 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number from 1 to 365."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags of everything."
}
