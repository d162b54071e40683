output "name" {
  value       = google_container_cluster.this.name
  description = "Name of the cluster."
}

output "endpoint" {
  value       = "https://${google_container_cluster.this.endpoint}"
  description = "Address of the API server."
}

output "certificate_authority" {
  value       = base64decode(join("", google_container_cluster.this.master_auth[*].cluster_ca_certificate))
  description = "CA of the API server, as PEM."
}

output "network_id" {
  value       = google_compute_network.this.id
  description = "Id of the network."
}

output "ready" {
  value       = [for group in google_container_node_pool.this : group.id]
  description = "Known once there are nodes: depend on it to install charts."
}
