# An environment on Azure with a cluster of its own, declared in Volary and joined in one apply.
#
#   az login; export ARM_SUBSCRIPTION_ID=… VOLARY_API_KEY=… VOLARY_URL=https://volary.example.com
#   terraform init && terraform apply

terraform {
  required_providers {
    azurerm    = { source = "hashicorp/azurerm", version = "~> 4.55" }
    helm       = { source = "hashicorp/helm", version = "~> 3.1" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.38" }
    volary     = { source = "volary/volary" }
  }
}

provider "volary" {}

provider "azurerm" {
  features {}
  storage_use_azuread = true # the storage account has no keys
}

# The cluster has no local accounts: kubelogin gets a token for whoever is logged in with az.
provider "kubernetes" {
  host                   = module.environment.cluster.endpoint
  cluster_ca_certificate = module.environment.cluster.certificate_authority

  exec {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "kubelogin"
    args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"] # of AKS, in every tenant
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.environment.cluster.endpoint
    cluster_ca_certificate = module.environment.cluster.certificate_authority
    exec = {
      api_version = "client.authentication.k8s.io/v1beta1"
      command     = "kubelogin"
      args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
    }
  }
}

resource "volary_cluster" "this" {
  name        = "eu-prod"
  auto_accept = true
}

module "environment" {
  source = "../../modules/azure/environment"

  name                  = volary_cluster.this.name
  location              = "germanywestcentral"
  control_plane_address = "volary.example.com"
  join_token            = volary_cluster.this.join_token
  chart                 = { path = "../../../helm/volary-agent", image = "registry.example.com/volary/agent", copilot = "registry.example.com/volary/copilot:0.1.0" }
  task_service_accounts = { "shop-production" = ["default"] }
  store = {
    account_id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/volary-prod/providers/Microsoft.Storage/storageAccounts/volprod0123456789"
    container  = "volary"
    prefix     = "volary/acme"
  }
  new_cluster = {
    zones            = ["1", "2", "3"]
    api_access_cidrs = ["203.0.113.0/24"]
    admin_group_ids  = ["00000000-0000-0000-0000-000000000001"]
    node_groups = {
      cpu = { vm_size = "Standard_D8ds_v5", min = 2, max = 20 }
      gpu = { vm_size = "Standard_NC8as_T4_v3", min = 0, max = 8, spot = true, labels = { "volary.dev/gpu" = "t4" } }
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
