"""Inputs of the modules: each wrong value is named, and what is wrong with it."""

import shutil

import pytest

from tests.terraform.cli import Terraform
from tests.terraform.modules import within

WRONG = {
    "aws/environment": (
        """
  name                  = "Prod_1"
  region                = "eu-central-1"
  account_id            = "1"
  control_plane_address = "https://volary.example.com"
  join_token            = "short"
  store                 = { bucket_arn = "arn:aws:s3:::volary", prefix = "volary" }
  chart                 = { image = "agent", copilot = "copilot" }
  existing_cluster      = { name = "c", endpoint = "e", certificate_authority = "a" }
""",
        (
            "account_id must have twelve digits",
            "control_plane_address must be a host such as volary.example.com",
            "join_token is too short",
        ),
    ),
    "aws/cluster": (
        """
  name               = "c"
  region             = "frankfurt"
  zones              = ["a", "b"]
  cidr               = "10.0.0.0/16"
  kubernetes_version = "1.20"
  api_access_cidrs   = ["0.0.0.0/0"]
  admin_arns         = []
  tags               = {}
  node_groups        = { cpu = { instance_types = ["m7i.large"], min = 3, max = 2 } }
""",
        (
            "region must be a region of AWS",
            "kubernetes_version must be from 1.29",
            "not the whole internet",
            "a max of at least 1 and of at least its min",
        ),
    ),
    "azure/cluster": (
        """
  name               = "c"
  resource_group     = "g"
  location           = "West Europe"
  zones              = ["a", "b"]
  cidr               = "192.168.0.0/16"
  kubernetes_version = "1.20"
  api_access_cidrs   = ["0.0.0.0/0"]
  admin_group_ids    = []
  tags               = {}
  node_groups        = { cpu-nodes = { vm_size = "Standard_D8ds_v5", min = 3, max = 2 } }
""",
        (
            "location must be a region of Azure",
            "zones must name two or three different zones",
            "which are of pods and services",
            "kubernetes_version must be from 1.30",
            "not the whole internet",
            "admin_group_ids must name a group",
            "a max of at least 1 and of at least its min",
            "at most 12 small letters and digits",
        ),
    ),
    "azure/environment": (
        """
  name                  = "prod"
  location              = "germanywestcentral"
  control_plane_address = "https://volary.example.com"
  join_token            = "short"
  store                 = { account_id = "volary", container = "volary", prefix = "volary/" }
  chart                 = { image = "agent", copilot = "copilot" }
""",
        (
            "control_plane_address must be a host such as volary.example.com",
            "join_token is too short",
            "store.account_id must be the id of a storage account",
        ),
    ),
    "gcp/cluster": (
        """
  project            = "acme-data"
  name               = "c"
  nodes_account_id   = "nodes"
  region             = "frankfurt"
  zones              = ["frankfurt-a", "frankfurt-b"]
  cidr               = "10.0.0.0/16"
  kubernetes_version = "1.20"
  api_access_cidrs   = ["0.0.0.0/0"]
  labels             = {}
  node_groups        = { cpu = { machine_type = "n2-standard-8", min = 3, max = 2 } }
""",
        (
            "region must be a region of Google Cloud",
            "kubernetes_version must be from 1.30",
            "not the whole internet",
            "a max of at least 1 and of at least its min",
        ),
    ),
    "aws/control-plane": (
        """
  name            = "prod"
  region          = "eu-central-1"
  account_id      = "12345678901"
  host            = "https://volary"
  tls_secret      = "t"
  database_secret = "d"
  keys_secret     = "k"
  database        = { backup_days = 0 }
  chart           = { image = "i" }
  cluster         = { zones = ["a", "b"], admin_arns = [] }
""",
        (
            "account_id must have twelve digits",
            "host must be a host such as volary.example.com",
            "backup_days must be from 1 to 35",
        ),
    ),
}


@pytest.mark.parametrize("module", WRONG)
def test_each_wrong_value_of_a_module_is_named(clouds: Terraform, module: str) -> None:
    values, errors = WRONG[module]
    folder = clouds.directory / "infra/terraform/examples/wrong"
    folder.mkdir()
    source = f'  source = "../../modules/{module}"\n'
    (folder / "main.tf").write_text(f'module "wrong" {{\n{source}{values}}}\n')
    refusal = within(clouds, "examples/wrong").refuse("plan")
    for named in errors:
        assert named in refusal, named


def test_environment_needs_one_cluster_and_not_two(clouds: Terraform) -> None:
    folder = clouds.directory / "infra/terraform/examples/none"
    shutil.copytree(folder.parent / "aws-environment", folder)
    text = (folder / "main.tf").read_text()
    begin = text.index("  new_cluster = {")
    end = text.index("\n  }\n}\n", begin) + len("\n  }\n")
    (folder / "main.tf").write_text(text[:begin] + text[end:])
    refusal = within(clouds, "examples/none").refuse("plan")
    assert "give either new_cluster or existing_cluster" in refusal
