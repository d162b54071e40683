# The control plane: cluster, Postgres, bucket, identity, and the chart.

module "names" {
  source = "../../common/names"

  name   = var.name
  scope  = "${var.project}-${var.region}"
  labels = var.labels
}

module "sizes" {
  source = "../../common/sizes"

  size = var.size
}

module "identities" {
  source = "../identities"

  prefix   = module.names.prefix
  project  = var.project
  accounts = { control = { (local.namespace) = [local.account] }, nodes = {} }
}

module "cluster" {
  source = "../cluster"

  project             = var.project
  name                = module.names.prefix
  nodes_account_id    = module.identities.account_ids["nodes"]
  region              = var.region
  cidr                = var.cluster.cidr
  zones               = var.cluster.zones
  kubernetes_version  = var.cluster.kubernetes_version
  api_access_cidrs    = var.cluster.api_access_cidrs
  deletion_protection = var.cluster.deletion_protection
  labels              = module.names.labels
  node_groups = {
    control-plane = {
      machine_type = var.cluster.machine_type
      min          = length(var.cluster.zones)
      max          = length(var.cluster.zones) + module.sizes.size.replicas
    }
  }
}

module "bucket" {
  source = "../bucket"
  count  = var.bucket == "" ? 1 : 0

  project = var.project
  name    = module.names.bucket
  region  = var.region
  labels  = module.names.labels
}

locals {
  bucket    = var.bucket == "" ? module.bucket[0].name : var.bucket
  namespace = "volary"
  account   = "volary-controlplane"
}

resource "google_service_account" "this" {
  project      = var.project
  account_id   = module.identities.account_ids["control"]
  display_name = "Volary ${var.name}: control plane"
}

resource "google_storage_bucket_iam_member" "this" {
  bucket = local.bucket
  role   = module.identities.store_role
  member = "serviceAccount:${google_service_account.this.email}"
}

# IAM signs the links of uploads and downloads: no key leaves Google.
resource "google_service_account_iam_member" "signer" {
  service_account_id = google_service_account.this.name
  role               = module.identities.signer_role
  member             = "serviceAccount:${google_service_account.this.email}"
}

resource "google_service_account_iam_member" "workload_identity" {
  for_each = module.identities.members

  service_account_id = google_service_account.this.name
  role               = "roles/iam.workloadIdentityUser"
  member             = each.value.member

  depends_on = [module.cluster] # which makes the pool of the members
}

resource "google_compute_address" "this" {
  project      = var.project
  name         = module.names.prefix
  region       = var.region
  address_type = "EXTERNAL"
  labels       = module.names.labels
}

module "values" {
  source = "../../common/control-plane-values"

  host            = var.host
  size            = module.sizes.size
  tls_secret      = var.tls_secret
  database_secret = var.database_secret
  keys_secret     = var.keys_secret
  blob_base       = "gs://${local.bucket}/volary"
  service_account = local.account
  annotations     = { "iam.gke.io/gcp-service-account" = google_service_account.this.email }
  image           = var.chart.image
  gke_metadata    = true
  service_annotations = {
    "cloud.google.com/l4-rbs"                      = "enabled"
    "networking.gke.io/load-balancer-ip-addresses" = google_compute_address.this.name
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
    google_sql_database.this,
    google_service_account_iam_member.signer,
    google_service_account_iam_member.workload_identity,
    google_storage_bucket_iam_member.this,
  ]
}

resource "google_dns_record_set" "this" {
  count = var.dns_zone == "" ? 0 : 1

  project      = var.project
  managed_zone = var.dns_zone
  name         = "${var.host}."
  type         = "A"
  ttl          = 60
  rrdatas      = [google_compute_address.this.address]
}
