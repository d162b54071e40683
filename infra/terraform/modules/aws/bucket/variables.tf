variable "name" {
  type        = string
  description = "Name of the bucket."
}

variable "noncurrent_days" {
  type        = number
  default     = 30
  description = "Days for which deleted and replaced objects can be restored."

  validation {
    condition     = var.noncurrent_days >= 1 && floor(var.noncurrent_days) == var.noncurrent_days
    error_message = "noncurrent_days must be a whole number of at least 1."
  }
}

variable "force_destroy" {
  type        = bool
  default     = false
  description = "Destroying the bucket deletes its objects; false: it fails while there are any."
}

variable "tags" {
  type        = map(string)
  description = "Tags of everything."
}
