# An environment on Google Cloud with a cluster of its own, declared in Volary and joined in one apply.
#
#   export VOLARY_API_KEY=… VOLARY_URL=https://volary.example.com
#   terraform init && terraform apply

terraform {
  required_providers {
    google     = { source = "hashicorp/google", version = "~> 6.50" }
    helm       = { source = "hashicorp/helm", version = "~> 3.1" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.38" }
    volary     = { source = "volary/volary" }
  }
}

provider "google" {}

provider "volary" {}

data "google_client_config" "this" {}

provider "kubernetes" {
  host                   = module.environment.cluster.endpoint
  cluster_ca_certificate = module.environment.cluster.certificate_authority
  token                  = data.google_client_config.this.access_token
}

provider "helm" {
  kubernetes = {
    host                   = module.environment.cluster.endpoint
    cluster_ca_certificate = module.environment.cluster.certificate_authority
    token                  = data.google_client_config.this.access_token
  }
}

resource "volary_cluster" "this" {
  name        = "eu-prod"
  auto_accept = true
}

module "environment" {
  source = "../../modules/gcp/environment"

  name                  = volary_cluster.this.name
  project               = "acme-data"
  region                = "europe-west3"
  control_plane_address = "volary.example.com"
  join_token            = volary_cluster.this.join_token
  store                 = { bucket = "volary-control-plane", prefix = "volary/acme" }
  chart                 = { path = "../../../helm/volary-agent", image = "registry.example.com/volary/agent", copilot = "registry.example.com/volary/copilot:0.1.0" }
  task_service_accounts = { "shop-production" = ["default"] }
  new_cluster = {
    zones            = ["europe-west3-a", "europe-west3-b", "europe-west3-c"]
    api_access_cidrs = ["203.0.113.0/24"]
    node_groups = {
      cpu = { machine_type = "n2-standard-8", min = 2, max = 20 }
      gpu = { machine_type = "g2-standard-8", min = 0, max = 8, spot = true, labels = { "volary.dev/gpu" = "l4" } }
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
