output "url" {
  value       = "https://${var.host}"
  description = "Address of the control plane."
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
  value = {
    bucket_arn = "arn:aws:s3:::${local.bucket}"
    key_arn    = local.bucket_key_arn
  }
  description = "For the store of environments; their prefix is volary/<org>."
}

output "database" {
  value = {
    address         = aws_db_instance.this.address
    owner_secret    = aws_db_instance.this.master_user_secret[0].secret_arn
    create_user     = "CREATE ROLE volary LOGIN PASSWORD '…' IN ROLE volary_app, volary_fleet"
    secret_contents = "url=postgresql://volary:…@${aws_db_instance.this.address}:5432/volary?sslmode=require, owner-url=postgresql://volary_owner:…@${aws_db_instance.this.address}:5432/volary?sslmode=require"
  }
  description = "The database, where its owner's password is, and what the Secret of database_secret contains."
}

output "next" {
  value       = "aws eks update-kubeconfig --name ${module.cluster.name} && kubectl --namespace volary rollout status deploy/volary-controlplane"
  description = "The next command."
}
