output "url" {
  value       = "https://${var.host}"
  description = "Address of the control plane."
}

output "address" {
  value       = google_compute_address.this.address
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
  value       = { bucket = local.bucket }
  description = "For the store of environments; their prefix is volary/<org>."
}

output "database" {
  value = {
    address         = google_sql_database_instance.this.private_ip_address
    create_owner    = "gcloud sql users create volary_owner --instance ${google_sql_database_instance.this.name} --password …"
    create_user     = "CREATE ROLE volary LOGIN PASSWORD '…' IN ROLE volary_app, volary_fleet"
    secret_contents = "url=postgresql://volary:…@${google_sql_database_instance.this.private_ip_address}:5432/volary?sslmode=require, owner-url=postgresql://volary_owner:…@${google_sql_database_instance.this.private_ip_address}:5432/volary?sslmode=require"
  }
  description = "The database, how to make its owner, and what the Secret of database_secret contains."
}

output "next" {
  value       = "gcloud container clusters get-credentials ${module.cluster.name} --region ${var.region} --project ${var.project} && kubectl --namespace volary rollout status deploy/volary-controlplane"
  description = "The next command."
}
