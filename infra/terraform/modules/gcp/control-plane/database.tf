# Postgres on two zones, with backups of every moment, at an address of the network only.

resource "google_compute_global_address" "database" {
  project       = var.project
  name          = "${module.names.prefix}-database"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = module.cluster.network_id
  labels        = module.names.labels
}

resource "google_service_networking_connection" "database" {
  network                 = module.cluster.network_id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database.name]
}

resource "google_sql_database_instance" "this" {
  project             = var.project
  name                = module.names.prefix
  region              = var.region
  database_version    = "POSTGRES_${var.database.postgres_version}"
  deletion_protection = var.database.deletion_protection

  settings {
    edition                     = "ENTERPRISE"
    tier                        = "db-custom-${module.sizes.size.database.vcpus}-${module.sizes.size.database.memory_gib * 1024}"
    availability_type           = "REGIONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = module.sizes.size.database.storage_gib
    disk_autoresize             = true
    disk_autoresize_limit       = module.sizes.size.database.storage_gib * 4
    deletion_protection_enabled = var.database.deletion_protection
    user_labels                 = module.names.labels

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = min(var.database.backup_days, 7)

      backup_retention_settings {
        retained_backups = var.database.backup_days
        retention_unit   = "COUNT"
      }
    }

    ip_configuration {
      ipv4_enabled    = false
      private_network = module.cluster.network_id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    insights_config {
      query_insights_enabled = true
    }
  }

  depends_on = [google_service_networking_connection.database]
}

resource "google_sql_database" "this" {
  project  = var.project
  name     = "volary"
  instance = google_sql_database_instance.this.name
}
