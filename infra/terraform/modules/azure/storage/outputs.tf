output "account" {
  value       = { id = azurerm_storage_account.this.id, name = azurerm_storage_account.this.name }
  description = "The storage account: its id and name."
}

output "container" {
  value = {
    id   = "${azurerm_storage_account.this.id}/blobServices/default/containers/${azurerm_storage_container.this.name}"
    name = azurerm_storage_container.this.name
  }
  description = "The container: the scope of its roles, and its name."
}
