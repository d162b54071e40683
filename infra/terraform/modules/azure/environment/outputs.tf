output "cluster" {
  value       = local.cluster
  description = "The cluster: its name, endpoint, CA and issuer, for the providers kubernetes and helm."
}

output "raw_data_path" {
  value       = "abfs://${azurerm_storage_container.own.name}"
  description = "For storage.raw_data_path of volary_settings: files of tasks go to this container."
}

output "client_ids" {
  value       = { for name, identity in azurerm_user_assigned_identity.this : name => identity.client_id }
  description = "Client ids of the identities of the agent and of tasks."
}

output "task_annotation" {
  value       = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.this["tasks"].client_id }
  description = "Annotation of each Kubernetes service account of task_service_accounts."
}

output "next" {
  value       = "volary cluster accept ${var.name}, unless it accepts by itself; then kubectl --namespace volary exec deploy/volary-agent -- volary-agent doctor"
  description = "The next command."
}
