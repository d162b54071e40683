# Postgres on two zones, with backups of every moment, at an address of the network only.

locals {
  machines = { 2 = "GP_Standard_D2ds_v5", 4 = "GP_Standard_D4ds_v5", 8 = "GP_Standard_D8ds_v5" }
  disks    = { 100 = 131072, 500 = 524288, 2000 = 2097152 } # sizes that Azure has, in MiB, by GiB
}

resource "azurerm_subnet" "database" {
  name                 = "database"
  resource_group_name  = azurerm_resource_group.this.name
  virtual_network_name = module.cluster.network_name
  address_prefixes     = [module.cluster.delegated_cidr]

  delegation {
    name = "postgres"
    service_delegation {
      name    = "Microsoft.DBforPostgreSQL/flexibleServers"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

resource "azurerm_private_dns_zone" "database" {
  name                = "${module.names.prefix}.private.postgres.database.azure.com"
  resource_group_name = azurerm_resource_group.this.name
  tags                = module.names.labels
}

resource "azurerm_private_dns_zone_virtual_network_link" "database" {
  name                  = "cluster"
  resource_group_name   = azurerm_resource_group.this.name
  private_dns_zone_name = azurerm_private_dns_zone.database.name
  virtual_network_id    = module.cluster.network_id
  tags                  = module.names.labels
}

resource "azurerm_postgresql_flexible_server" "this" {
  name                              = "${module.names.prefix}-${substr(sha256(var.subscription_id), 0, 6)}"
  resource_group_name               = azurerm_resource_group.this.name
  location                          = var.location
  version                           = var.database.postgres_version
  sku_name                          = local.machines[module.sizes.size.database.vcpus]
  storage_mb                        = local.disks[module.sizes.size.database.storage_gib]
  auto_grow_enabled                 = true
  zone                              = var.cluster.zones[0]
  delegated_subnet_id               = azurerm_subnet.database.id
  private_dns_zone_id               = azurerm_private_dns_zone.database.id
  public_network_access_enabled     = false
  backup_retention_days             = var.database.backup_days
  administrator_login               = "volary_owner"
  administrator_password_wo         = var.database_owner_password
  administrator_password_wo_version = var.database_owner_password_version
  tags                              = module.names.labels

  high_availability {
    mode                      = "ZoneRedundant"
    standby_availability_zone = var.cluster.zones[1]
  }

  # A failover swaps the zones. Without the database nothing is left.
  lifecycle {
    ignore_changes  = [zone, high_availability[0].standby_availability_zone]
    prevent_destroy = true
  }

  depends_on = [azurerm_private_dns_zone_virtual_network_link.database]
}

resource "azurerm_postgresql_flexible_server_database" "this" {
  name      = "volary"
  server_id = azurerm_postgresql_flexible_server.this.id
}
