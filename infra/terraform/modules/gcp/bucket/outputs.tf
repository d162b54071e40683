output "name" {
  value       = google_storage_bucket.this.name
  description = "Name of the bucket."
}
