# The control plane: cluster, Postgres, container, identity, and the chart.

module "names" {
  source = "../../common/names"

  name   = var.name
  scope  = var.location
  labels = var.labels
}

module "sizes" {
  source = "../../common/sizes"

  size = var.size
}

module "identities" {
  source = "../identities"

  name     = var.name
  scope    = "${var.subscription_id}/${var.location}"
  accounts = { control = { (local.namespace) = [local.account] } }
}

locals {
  namespace = "volary"
  account   = "volary-controlplane"
}

resource "azurerm_resource_group" "this" {
  name     = module.names.prefix
  location = var.location
  tags     = module.names.labels
}

module "cluster" {
  source = "../cluster"

  name               = module.names.prefix
  resource_group     = azurerm_resource_group.this.name
  location           = var.location
  cidr               = var.cluster.cidr
  zones              = var.cluster.zones
  kubernetes_version = var.cluster.kubernetes_version
  api_access_cidrs   = var.cluster.api_access_cidrs
  admin_group_ids    = var.cluster.admin_group_ids
  tags               = module.names.labels
  node_groups = {
    control = {
      vm_size = var.cluster.vm_size
      min     = length(var.cluster.zones)
      max     = length(var.cluster.zones) + module.sizes.size.replicas
    }
  }
}

module "storage" {
  source = "../storage"

  name           = module.identities.storage_account
  container      = "volary"
  resource_group = azurerm_resource_group.this.name
  location       = var.location
  tags           = module.names.labels
}

resource "azurerm_user_assigned_identity" "this" {
  name                = "${module.names.prefix}-control-plane"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = module.names.labels
}

resource "azurerm_federated_identity_credential" "this" {
  for_each = module.identities.subjects

  name                = each.key
  resource_group_name = azurerm_resource_group.this.name
  parent_id           = azurerm_user_assigned_identity.this.id
  audience            = ["api://AzureADTokenExchange"]
  issuer              = module.cluster.oidc_issuer
  subject             = each.value.subject
}

resource "azurerm_role_assignment" "this" {
  for_each = {
    store  = { scope = module.storage.container.id, role = module.identities.store_role }
    signer = { scope = module.storage.account.id, role = module.identities.signer_role }
  }

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.this.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_public_ip" "this" {
  name                = module.names.prefix
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = var.cluster.zones
  tags                = module.names.labels
}

# The cluster gives the address to its load balancer.
resource "azurerm_role_assignment" "address" {
  scope                = azurerm_public_ip.this.id
  role_definition_name = "Network Contributor"
  principal_id         = module.cluster.identity
  principal_type       = "ServicePrincipal"
}

module "values" {
  source = "../../common/control-plane-values"

  host            = var.host
  size            = module.sizes.size
  tls_secret      = var.tls_secret
  database_secret = var.database_secret
  keys_secret     = var.keys_secret
  blob_base       = "abfs://${module.storage.container.name}/volary"
  azure_account   = module.storage.account.name
  service_account = local.account
  annotations     = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.this.client_id }
  pod_labels      = { "azure.workload.identity/use" = "true" }
  image           = var.chart.image
  service_annotations = {
    "service.beta.kubernetes.io/azure-load-balancer-resource-group" = azurerm_resource_group.this.name
    "service.beta.kubernetes.io/azure-pip-name"                     = azurerm_public_ip.this.name
  }
}

resource "helm_release" "control_plane" {
  name             = "volary"
  namespace        = local.namespace
  create_namespace = true
  chart            = var.chart.path
  repository       = var.chart.repo
  version          = var.chart.version
  values           = [module.values.values, yamlencode(var.values)]
  wait             = true
  timeout          = 900

  depends_on = [
    module.cluster,
    azurerm_federated_identity_credential.this,
    azurerm_postgresql_flexible_server_database.this,
    azurerm_role_assignment.address,
    azurerm_role_assignment.this,
  ]
}

resource "azurerm_dns_a_record" "this" {
  count = var.dns_zone == null ? 0 : 1

  name                = trimsuffix(var.host, ".${var.dns_zone.name}")
  zone_name           = var.dns_zone.name
  resource_group_name = var.dns_zone.resource_group
  ttl                 = 60
  records             = [azurerm_public_ip.this.ip_address]
  tags                = module.names.labels
}
