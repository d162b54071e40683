output "cluster" {
  value       = local.cluster
  description = "The cluster: its name, endpoint and CA, for the providers kubernetes and helm."
}

output "raw_data_path" {
  value       = "gs://${module.bucket.name}"
  description = "For storage.raw_data_path of volary_settings: files of tasks go to this bucket."
}

output "service_accounts" {
  value       = { for name, account in google_service_account.this : name => account.email }
  description = "Google service accounts of the agent and of tasks."
}

output "task_annotation" {
  value       = { "iam.gke.io/gcp-service-account" = google_service_account.this["tasks"].email }
  description = "Annotation of each Kubernetes service account of task_service_accounts."
}

output "next" {
  value       = "volary cluster accept ${var.name}, unless it accepts by itself; then kubectl --namespace volary exec deploy/volary-agent -- volary-agent doctor"
  description = "The next command."
}
