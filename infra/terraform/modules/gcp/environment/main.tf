# A customer's side: cluster, bucket, identities without keys, and the agent.

module "names" {
  source = "../../common/names"

  name   = var.name
  scope  = "${var.project}-${var.region}"
  labels = var.labels
}

module "identities" {
  source = "../identities"

  prefix        = module.names.prefix
  project       = var.project
  bucket        = var.store.bucket
  bucket_prefix = var.store.prefix
  accounts = {
    agent = { (local.namespace) = [local.account] }
    tasks = var.task_service_accounts
    nodes = {}
  }
}

module "cluster" {
  source = "../cluster"
  count  = var.new_cluster == null ? 0 : 1

  project             = var.project
  name                = module.names.prefix
  nodes_account_id    = module.identities.account_ids["nodes"]
  region              = var.region
  cidr                = var.new_cluster.cidr
  zones               = var.new_cluster.zones
  kubernetes_version  = var.new_cluster.kubernetes_version
  api_access_cidrs    = var.new_cluster.api_access_cidrs
  node_groups         = var.new_cluster.node_groups
  deletion_protection = var.new_cluster.deletion_protection
  labels              = module.names.labels
}

locals {
  cluster = var.existing_cluster != null ? var.existing_cluster : {
    name                  = module.cluster[0].name
    endpoint              = module.cluster[0].endpoint
    certificate_authority = module.cluster[0].certificate_authority
  }
  namespace = "volary"
  account   = "volary-agent"
}

module "bucket" {
  source = "../bucket"

  project = var.project
  name    = module.names.bucket
  region  = var.region
  labels  = module.names.labels
}

resource "google_service_account" "this" {
  for_each = toset(["agent", "tasks"])

  project      = var.project
  account_id   = module.identities.account_ids[each.value]
  display_name = "Volary ${var.name}: ${each.value}"
}

resource "google_storage_bucket_iam_member" "own" {
  for_each = google_service_account.this

  bucket = module.bucket.name
  role   = module.identities.store_role
  member = "serviceAccount:${each.value.email}"
}

resource "google_storage_bucket_iam_member" "store" {
  for_each = google_service_account.this

  bucket = var.store.bucket
  role   = module.identities.store_role
  member = "serviceAccount:${each.value.email}"

  dynamic "condition" {
    for_each = module.identities.condition == "" ? [] : [module.identities.condition]
    content {
      title      = "below-${replace(var.store.prefix, "/", "-")}"
      expression = condition.value
    }
  }
}

# IAM signs the agent's links: no key leaves Google.
resource "google_service_account_iam_member" "signer" {
  service_account_id = google_service_account.this["agent"].name
  role               = module.identities.signer_role
  member             = "serviceAccount:${google_service_account.this["agent"].email}"
}

resource "google_service_account_iam_member" "workload_identity" {
  for_each = { for key, each in module.identities.members : key => each if each.suffix != "nodes" }

  service_account_id = google_service_account.this[each.value.suffix].name
  role               = "roles/iam.workloadIdentityUser"
  member             = each.value.member

  depends_on = [module.cluster] # which makes the pool of the members
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
  annotations           = { "iam.gke.io/gcp-service-account" = google_service_account.this["agent"].email }
  image                 = var.chart.image
  copilot_image         = var.chart.copilot
  gke_metadata          = true
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

  depends_on = [
    google_service_account_iam_member.signer,
    google_service_account_iam_member.workload_identity,
    google_storage_bucket_iam_member.own,
    google_storage_bucket_iam_member.store,
  ]
}
