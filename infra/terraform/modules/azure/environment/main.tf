# A customer's side: cluster, a container of its own, identities without keys, and the agent.

module "names" {
  source = "../../common/names"

  name   = var.name
  scope  = var.location
  labels = var.labels
}

module "identities" {
  source = "../identities"

  name   = var.name
  scope  = var.store.account_id
  prefix = var.store.prefix
  accounts = {
    agent = { (local.namespace) = [local.account] }
    tasks = var.task_service_accounts
  }
}

resource "azurerm_resource_group" "this" {
  name     = module.names.prefix
  location = var.location
  tags     = module.names.labels
}

module "cluster" {
  source = "../cluster"
  count  = var.new_cluster == null ? 0 : 1

  name               = module.names.prefix
  resource_group     = azurerm_resource_group.this.name
  location           = var.location
  cidr               = var.new_cluster.cidr
  zones              = var.new_cluster.zones
  kubernetes_version = var.new_cluster.kubernetes_version
  api_access_cidrs   = var.new_cluster.api_access_cidrs
  admin_group_ids    = var.new_cluster.admin_group_ids
  node_groups        = var.new_cluster.node_groups
  tags               = module.names.labels
}

locals {
  cluster = var.existing_cluster != null ? var.existing_cluster : {
    name                  = module.cluster[0].name
    endpoint              = module.cluster[0].endpoint
    certificate_authority = module.cluster[0].certificate_authority
    oidc_issuer           = module.cluster[0].oidc_issuer
  }
  namespace     = "volary"
  account       = "volary-agent"
  store_account = element(split("/", var.store.account_id), length(split("/", var.store.account_id)) - 1)
  roles = merge([
    for name, identity in azurerm_user_assigned_identity.this : {
      "${name}-own"    = { scope = local.own_container, role = module.identities.store_role, principal = identity.principal_id, condition = null }
      "${name}-store"  = { scope = local.store_container, role = module.identities.store_role, principal = identity.principal_id, condition = module.identities.condition }
      "${name}-signer" = { scope = var.store.account_id, role = module.identities.signer_role, principal = identity.principal_id, condition = null }
    }
  ]...)
  own_container   = "${var.store.account_id}/blobServices/default/containers/${azurerm_storage_container.own.name}"
  store_container = "${var.store.account_id}/blobServices/default/containers/${var.store.container}"
}

# In the store's account: an agent and its tasks use one storage account.
resource "azurerm_storage_container" "own" {
  name                  = module.names.prefix
  storage_account_id    = var.store.account_id
  container_access_type = "private"
}

resource "azurerm_user_assigned_identity" "this" {
  for_each = toset(["agent", "tasks"])

  name                = "${module.names.prefix}-${each.value}"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = module.names.labels
}

resource "azurerm_federated_identity_credential" "this" {
  for_each = module.identities.subjects

  name                = each.key
  resource_group_name = azurerm_resource_group.this.name
  parent_id           = azurerm_user_assigned_identity.this[each.value.suffix].id
  audience            = ["api://AzureADTokenExchange"]
  issuer              = local.cluster.oidc_issuer
  subject             = each.value.subject
}

resource "azurerm_role_assignment" "this" {
  for_each = local.roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = each.value.principal
  principal_type       = "ServicePrincipal"
  condition            = each.value.condition
  condition_version    = each.value.condition == null ? null : "2.0"
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name   = local.namespace
    labels = { "pod-security.kubernetes.io/enforce" = "restricted" }
  }

  depends_on = [module.cluster]
}

resource "kubernetes_secret_v1" "join_token" {
  metadata {
    name      = "volary-join-token"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }
  data_wo          = { token = var.join_token }
  data_wo_revision = var.join_token_version
}

module "values" {
  source = "../../common/agent-values"

  control_plane_address = var.control_plane_address
  join_token_secret     = kubernetes_secret_v1.join_token.metadata[0].name
  service_account       = local.account
  annotations           = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.this["agent"].client_id }
  pod_labels            = { "azure.workload.identity/use" = "true" }
  azure_account         = local.store_account
  image                 = var.chart.image
  copilot_image         = var.chart.copilot
}

resource "helm_release" "agent" {
  name       = "volary"
  namespace  = kubernetes_namespace_v1.this.metadata[0].name
  chart      = var.chart.path
  repository = var.chart.repo
  version    = var.chart.version
  values     = [module.values.values, yamlencode(var.values)]
  wait       = true
  atomic     = true
  timeout    = 600

  depends_on = [azurerm_federated_identity_credential.this, azurerm_role_assignment.this]
}
