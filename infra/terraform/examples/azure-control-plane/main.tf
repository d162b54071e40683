# A control plane on Azure. Its cluster comes first, because the Secrets that it reads are made in it:
#
#   az login; export ARM_SUBSCRIPTION_ID=… TF_VAR_database_owner_password=…
#   terraform init && terraform apply -target=module.control_plane.module.cluster
#   (make the Secrets volary-tls, volary-database and volary-keys: docs/install.md)
#   terraform apply

terraform {
  required_providers {
    azurerm    = { source = "hashicorp/azurerm", version = "~> 4.55" }
    helm       = { source = "hashicorp/helm", version = "~> 3.1" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.38" }
  }
}

variable "database_owner_password" {
  type        = string
  ephemeral   = true
  description = "Password of the database's owner."
}

provider "azurerm" {
  features {}
  storage_use_azuread = true # the storage account has no keys
}

# The cluster has no local accounts: kubelogin gets a token for whoever is logged in with az.
provider "kubernetes" {
  host                   = module.control_plane.cluster.endpoint
  cluster_ca_certificate = module.control_plane.cluster.certificate_authority

  exec {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "kubelogin"
    args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"] # of AKS, in every tenant
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.control_plane.cluster.endpoint
    cluster_ca_certificate = module.control_plane.cluster.certificate_authority
    exec = {
      api_version = "client.authentication.k8s.io/v1beta1"
      command     = "kubelogin"
      args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
    }
  }
}

module "control_plane" {
  source = "../../modules/azure/control-plane"

  name                    = "prod"
  subscription_id         = "00000000-0000-0000-0000-000000000000"
  location                = "germanywestcentral"
  size                    = "medium"
  host                    = "volary.example.com"
  dns_zone                = { name = "example.com", resource_group = "dns" }
  tls_secret              = "volary-tls"
  database_secret         = "volary-database"
  database_owner_password = var.database_owner_password
  keys_secret             = "volary-keys"
  chart                   = { path = "../../../helm/volary-controlplane", image = "registry.example.com/volary/controlplane" }
  cluster = {
    zones            = ["1", "2", "3"]
    api_access_cidrs = ["203.0.113.0/24"]
    admin_group_ids  = ["00000000-0000-0000-0000-000000000001"]
  }
}

output "next" {
  value = module.control_plane.next
}
