output "cluster" {
  value       = local.cluster
  description = "The cluster: its name, endpoint and CA, for the providers kubernetes and helm."
}

output "raw_data_path" {
  value       = "s3://${module.bucket.name}"
  description = "For storage.raw_data_path of volary_settings: files of tasks go to this bucket."
}

output "role_arns" {
  value       = { for name, role in aws_iam_role.this : name => role.arn }
  description = "Roles of the agent and of tasks."
}

output "next" {
  value       = "volary cluster accept ${var.name}, unless it accepts by itself; then kubectl --namespace volary exec deploy/volary-agent -- volary-agent doctor"
  description = "The next command."
}
