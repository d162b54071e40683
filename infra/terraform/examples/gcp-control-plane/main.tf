# A control plane on Google Cloud. Its cluster comes first, because the Secrets that it reads are made in it:
#
#   terraform init && terraform apply -target=module.control_plane.module.cluster
#   (make the Secrets volary-tls, volary-database and volary-keys: docs/install.md)
#   terraform apply

terraform {
  required_providers {
    google     = { source = "hashicorp/google", version = "~> 6.50" }
    helm       = { source = "hashicorp/helm", version = "~> 3.1" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.38" }
  }
}

provider "google" {}

data "google_client_config" "this" {}

provider "kubernetes" {
  host                   = module.control_plane.cluster.endpoint
  cluster_ca_certificate = module.control_plane.cluster.certificate_authority
  token                  = data.google_client_config.this.access_token
}

provider "helm" {
  kubernetes = {
    host                   = module.control_plane.cluster.endpoint
    cluster_ca_certificate = module.control_plane.cluster.certificate_authority
    token                  = data.google_client_config.this.access_token
  }
}

module "control_plane" {
  source = "../../modules/gcp/control-plane"

  name            = "prod"
  project         = "acme-data"
  region          = "europe-west3"
  size            = "medium"
  host            = "volary.example.com"
  dns_zone        = "example-com"
  tls_secret      = "volary-tls"
  database_secret = "volary-database"
  keys_secret     = "volary-keys"
  chart           = { path = "../../../helm/volary-controlplane", image = "registry.example.com/volary/controlplane" }
  cluster = {
    zones            = ["europe-west3-a", "europe-west3-b", "europe-west3-c"]
    api_access_cidrs = ["203.0.113.0/24"]
  }
}

output "next" {
  value = module.control_plane.next
}
