# A network, and a GKE cluster over several zones with private nodes.

# Its addresses are of zones, and a subnet here is the region's: it checks cidr and zones.
module "subnets" {
  source = "../../common/subnets"

  cidr  = var.cidr
  zones = var.zones
}

locals {
  # Half of the network is for pods, a sixteenth for nodes; the rest is free.
  nodes = cidrsubnet(var.cidr, 4, 15)
  pods  = cidrsubnet(var.cidr, 1, 0)
}

resource "google_compute_network" "this" {
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  project                  = var.project
  name                     = var.name
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.nodes
  private_ip_google_access = true # buckets and KMS are reached by no NAT gateway

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = local.pods
  }

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
  }
}

resource "google_compute_router" "this" {
  project = var.project
  name    = var.name
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  project                            = var.project
  name                               = var.name
  region                             = var.region
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_kms_key_ring" "this" {
  project  = var.project
  name     = "${var.name}-cluster"
  location = var.region
}

resource "google_kms_crypto_key" "this" {
  name            = "secrets"
  key_ring        = google_kms_key_ring.this.id
  rotation_period = "7776000s"
  labels          = var.labels
}

resource "google_kms_crypto_key_iam_member" "this" {
  crypto_key_id = google_kms_crypto_key.this.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${data.google_project.this.number}@container-engine-robot.iam.gserviceaccount.com"
}

# Nodes have an account that may only write logs and metrics and pull images.
resource "google_service_account" "nodes" {
  project      = var.project
  account_id   = var.nodes_account_id
  display_name = "Nodes of ${var.name}"
}

resource "google_project_iam_member" "nodes" {
  for_each = toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"])

  project = var.project
  role    = each.value
  member  = "serviceAccount:${google_service_account.nodes.email}"
}

resource "google_container_cluster" "this" {
  project                  = var.project
  name                     = var.name
  location                 = var.region
  node_locations           = var.zones
  min_master_version       = var.kubernetes_version
  network                  = google_compute_network.this.id
  subnetwork               = google_compute_subnetwork.this.id
  remove_default_node_pool = true
  initial_node_count       = 1
  datapath_provider        = "ADVANCED_DATAPATH" # with network policies, which the charts bring
  deletion_protection      = var.deletion_protection
  resource_labels          = var.labels

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  ip_allocation_policy {
    cluster_secondary_range_name = "pods"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = length(var.api_access_cidrs) == 0
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.api_access_cidrs
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }

  database_encryption {
    state    = "ENCRYPTED"
    key_name = google_kms_crypto_key.this.id
  }

  release_channel {
    channel = "REGULAR"
  }

  # The pool that is removed at once must not have the default account of Compute Engine either.
  node_config {
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels          = {}
  }

  lifecycle {
    ignore_changes = [node_config, min_master_version] # the channel upgrades it
  }

  depends_on = [google_kms_crypto_key_iam_member.this, google_project_iam_member.nodes]
}

resource "google_container_node_pool" "this" {
  for_each = var.node_groups

  project        = var.project
  name           = each.key
  location       = var.region
  cluster        = google_container_cluster.this.name
  node_locations = var.zones

  autoscaling {
    total_min_node_count = each.value.min
    total_max_node_count = each.value.max
    location_policy      = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = each.value.machine_type
    spot            = each.value.spot
    disk_size_gb    = var.node_disk_gib
    disk_type       = "pd-balanced"
    labels          = each.value.labels
    resource_labels = var.labels
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    # Pods get the identity of their service account, not the node's.
    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }
}
