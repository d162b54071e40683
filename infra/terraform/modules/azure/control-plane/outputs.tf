output "url" {
  value       = "https://${var.host}"
  description = "Address of the control plane."
}

output "address" {
  value       = azurerm_public_ip.this.ip_address
  description = "IP address of the control plane, for the record of the host."
}

output "cluster" {
  value = {
    name                  = module.cluster.name
    endpoint              = module.cluster.endpoint
    certificate_authority = module.cluster.certificate_authority
  }
  description = "The cluster: its name, endpoint and CA, for the providers kubernetes and helm."
}

output "store" {
  value = {
    account_id = module.storage.account.id
    container  = module.storage.container.name
  }
  description = "For the store of environments; their prefix is volary/<org>."
}

output "database" {
  value = {
    address         = azurerm_postgresql_flexible_server.this.fqdn
    create_user     = "CREATE ROLE volary LOGIN PASSWORD '…' IN ROLE volary_app, volary_fleet"
    secret_contents = "url=postgresql://volary:…@${azurerm_postgresql_flexible_server.this.fqdn}:5432/volary?sslmode=require, owner-url=postgresql://volary_owner:…@${azurerm_postgresql_flexible_server.this.fqdn}:5432/volary?sslmode=require"
  }
  description = "The database, and what the Secret of database_secret contains."
}

output "next" {
  value       = "az aks get-credentials --resource-group ${azurerm_resource_group.this.name} --name ${module.cluster.name} && kubelogin convert-kubeconfig -l azurecli && kubectl --namespace volary rollout status deploy/volary-controlplane"
  description = "The next command."
}
