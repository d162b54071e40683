variable "project" {
  type        = string
  description = "Id of the project."
}

variable "name" {
  type        = string
  description = "Name of the bucket."
}

variable "region" {
  type        = string
  description = "Region, as in europe-west3."
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

variable "labels" {
  type        = map(string)
  description = "Labels of everything."
}
