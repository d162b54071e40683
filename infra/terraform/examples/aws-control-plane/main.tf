# A control plane on AWS. Its cluster comes first, because the Secrets that it reads are made in it:
#
#   terraform init && terraform apply -target=module.control_plane.module.cluster
#   (make the Secrets volary-tls, volary-database and volary-keys: docs/install.md)
#   terraform apply

terraform {
  required_providers {
    aws        = { source = "hashicorp/aws", version = "~> 6.25" }
    helm       = { source = "hashicorp/helm", version = "~> 3.1" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.38" }
  }
}

provider "aws" {
  region = "eu-central-1"
}

data "aws_caller_identity" "this" {}

data "aws_eks_cluster_auth" "this" {
  name = module.control_plane.cluster.name
}

provider "kubernetes" {
  host                   = module.control_plane.cluster.endpoint
  cluster_ca_certificate = module.control_plane.cluster.certificate_authority
  token                  = data.aws_eks_cluster_auth.this.token
}

provider "helm" {
  kubernetes = {
    host                   = module.control_plane.cluster.endpoint
    cluster_ca_certificate = module.control_plane.cluster.certificate_authority
    token                  = data.aws_eks_cluster_auth.this.token
  }
}

module "control_plane" {
  source = "../../modules/aws/control-plane"

  name            = "prod"
  region          = "eu-central-1"
  account_id      = data.aws_caller_identity.this.account_id
  size            = "medium"
  host            = "volary.example.com"
  zone_id         = "Z0123456789ABCDEFGHIJ"
  tls_secret      = "volary-tls"
  database_secret = "volary-database"
  keys_secret     = "volary-keys"
  chart           = { path = "../../../helm/volary-controlplane", image = "registry.example.com/volary/controlplane" }
  cluster = {
    zones      = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    admin_arns = [data.aws_caller_identity.this.arn]
  }
}

output "next" {
  value = module.control_plane.next
}
