output "name" {
  value       = azurerm_kubernetes_cluster.this.name
  description = "Name of the cluster."
}

output "endpoint" {
  value       = try(azurerm_kubernetes_cluster.this.kube_config[0].host, "")
  description = "Address of the API server."
}

output "certificate_authority" {
  value       = try(base64decode(azurerm_kubernetes_cluster.this.kube_config[0].cluster_ca_certificate), "")
  description = "CA of the API server, as PEM."
}

output "oidc_issuer" {
  value       = azurerm_kubernetes_cluster.this.oidc_issuer_url
  description = "Issuer of the tokens of service accounts, which identities trust."
}

output "network_id" {
  value       = azurerm_virtual_network.this.id
  description = "Id of the network."
}

output "network_name" {
  value       = azurerm_virtual_network.this.name
  description = "Name of the network."
}

output "delegated_cidr" {
  value       = local.delegated
  description = "Addresses that are left for a subnet of a database."
}

output "identity" {
  value       = azurerm_user_assigned_identity.cluster.principal_id
  description = "Principal of the cluster, which makes load balancers."
}

output "ready" {
  value       = [for group in azurerm_kubernetes_cluster_node_pool.this : group.id]
  description = "Known once there are nodes: depend on it to install charts."
}
