# An environment on AWS with a cluster of its own, declared in Volary and joined in one apply.
#
#   export VOLARY_API_KEY=… VOLARY_URL=https://volary.example.com
#   terraform init && terraform apply

terraform {
  required_providers {
    aws        = { source = "hashicorp/aws", version = "~> 6.25" }
    helm       = { source = "hashicorp/helm", version = "~> 3.1" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.38" }
    volary     = { source = "volary/volary" }
  }
}

provider "aws" {
  region = "eu-central-1"
}

provider "volary" {}

data "aws_caller_identity" "this" {}

data "aws_eks_cluster_auth" "this" {
  name = module.environment.cluster.name
}

provider "kubernetes" {
  host                   = module.environment.cluster.endpoint
  cluster_ca_certificate = module.environment.cluster.certificate_authority
  token                  = data.aws_eks_cluster_auth.this.token
}

provider "helm" {
  kubernetes = {
    host                   = module.environment.cluster.endpoint
    cluster_ca_certificate = module.environment.cluster.certificate_authority
    token                  = data.aws_eks_cluster_auth.this.token
  }
}

resource "volary_cluster" "this" {
  name        = "eu-prod"
  auto_accept = true
}

module "environment" {
  source = "../../modules/aws/environment"

  name                  = volary_cluster.this.name
  region                = "eu-central-1"
  account_id            = data.aws_caller_identity.this.account_id
  control_plane_address = "volary.example.com"
  join_token            = volary_cluster.this.join_token
  store                 = { bucket_arn = "arn:aws:s3:::volary-control-plane", prefix = "volary/acme" }
  chart                 = { path = "../../../helm/volary-agent", image = "registry.example.com/volary/agent", copilot = "registry.example.com/volary/copilot:0.1.0" }
  task_service_accounts = { "shop-production" = ["default"] }
  new_cluster = {
    zones      = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    admin_arns = [data.aws_caller_identity.this.arn]
    node_groups = {
      cpu = { instance_types = ["m7i.2xlarge"], min = 2, max = 20 }
      gpu = { instance_types = ["g6.2xlarge"], min = 0, max = 8, spot = true, labels = { "volary.dev/gpu" = "l4" } }
    }
  }
}

resource "volary_settings" "this" {
  domain = "production"
  values = { "storage.raw_data_path" = module.environment.raw_data_path }
}

output "next" {
  value = module.environment.next
}
