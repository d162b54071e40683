"""
The modules: their pure parts by ``terraform test``, the rest against the schemas of the clouds' providers.

Nothing here applies anything to a cloud: infra/terraform/README.md says so.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.terraform_schemas import list_used
from tests.servers.helm import Helm
from tests.terraform.cli import Terraform
from tests.terraform.modules import (
    INFRA,
    MODULES,
    SCHEMAS,
    build_schema_providers,
    copy_module,
    planned,
    with_schema_providers,
)

PURE = sorted(folder.parent for folder in MODULES.rglob("tests"))
EXAMPLES = sorted(path.name for path in (INFRA / "examples").iterdir())
MODULE_FOLDERS = sorted({file.parent for file in MODULES.rglob("*.tf")})
_VARIABLE = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def schema_providers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schema-providers")
    build_schema_providers(folder)
    return folder


@pytest.fixture
def clouds(plain_terraform: Terraform, schema_providers: Path, provider_folder: Path) -> Terraform:
    """Terraform in a copy of infra/terraform, with the schemas of the clouds' providers."""
    return with_schema_providers(plain_terraform, schema_providers, provider_folder)


def within(terraform: Terraform, folder: str) -> Terraform:
    directory = terraform.directory / "infra/terraform" / folder
    there = Terraform(terraform.command, directory, terraform.environment)
    there.run("get")
    return there


@pytest.mark.parametrize("module", PURE, ids=lambda path: str(path.relative_to(MODULES)))
def test_pure_module_passes_its_tests(plain_terraform: Terraform, module: Path) -> None:
    copy_module(module, plain_terraform.directory)
    plain_terraform.run("init")
    assert "0 failed" in plain_terraform.run("test", "-no-color")[1]


def test_modules_and_examples_are_formatted(plain_terraform: Terraform) -> None:
    plain_terraform.run("fmt", "-check", "-diff", "-recursive", str(INFRA))


@pytest.mark.parametrize("module", MODULE_FOLDERS, ids=lambda path: str(path.relative_to(MODULES)))
def test_variables_and_outputs_are_described_and_typed(module: Path) -> None:
    for file in module.glob("*.tf"):
        for kind, name, body in _VARIABLE.findall(file.read_text()):
            assert re.search(r"^  description *= ", body, re.MULTILINE), f"{file}: {name}"
            assert kind == "output" or re.search(r"^  type *= ", body, re.MULTILINE), name


def test_schemas_have_everything_that_modules_use() -> None:
    for provider, used in list_used().items():
        known = json.loads((SCHEMAS / f"{provider}.json").read_text())
        missing = [name for kind, name in used if name not in known[kind]]
        assert not missing, "run python -m scripts.terraform_schemas"


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_fits_the_schemas_and_can_be_planned(clouds: Terraform, example: str) -> None:
    terraform = within(clouds, f"examples/{example}")
    terraform.run("validate")
    found = planned(terraform)
    assert len(found) > 40
    untagged = [
        address
        for address, values in found.items()
        if "tags" in values and not (values["tags"] or {}).get("volary-name")
    ]
    assert untagged == []


def test_misspelt_and_missing_arguments_of_a_module_are_found(clouds: Terraform) -> None:
    file = clouds.directory / "infra/terraform/modules/aws/bucket/main.tf"
    text = file.read_text()
    file.write_text(text.replace("block_public_acls", "block_public_acl"))
    terraform = within(clouds, "examples/aws-environment")
    assert 'An argument named "block_public_acl" is not expected here' in terraform.refuse(
        "validate"
    )
    file.write_text(text.replace('    status = "Enabled"\n  }\n}\n', "  }\n}\n", 1))
    assert 'The argument "status" is required' in terraform.refuse("validate")


def test_environment_keeps_its_bucket_private_encrypted_and_versioned(clouds: Terraform) -> None:
    found = planned(within(clouds, "examples/aws-environment"))
    bucket = "module.environment.module.bucket.aws_s3_bucket"
    access = found[f"{bucket}_public_access_block.this"]
    assert all(
        value for name, value in access.items() if name.startswith(("block", "ignore", "restrict"))
    )
    [rule] = found[f"{bucket}_server_side_encryption_configuration.this"]["rule"]
    assert rule["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "aws:kms"
    assert found[f"{bucket}_versioning.this"]["versioning_configuration"][0]["status"] == "Enabled"
    assert "aws:SecureTransport" in found[f"{bucket}_policy.this"]["policy"]
    token = found["module.environment.kubernetes_secret_v1.join_token"]
    assert token["data_wo"] is None


def test_database_is_in_two_zones_encrypted_and_restorable(clouds: Terraform) -> None:
    found = planned(within(clouds, "examples/aws-control-plane"))
    database = found["module.control_plane.aws_db_instance.this"]
    assert database["multi_az"]
    assert database["storage_encrypted"]
    assert database["deletion_protection"]
    assert not database["publicly_accessible"]
    assert database["backup_retention_period"] == 14
    assert database["manage_master_user_password"]


@pytest.mark.parametrize(
    ("example", "release", "chart"),
    [
        ("aws-environment", "module.environment.helm_release.agent", "volary-agent"),
        (
            "aws-control-plane",
            "module.control_plane.helm_release.control_plane",
            "volary-controlplane",
        ),
    ],
)
def test_values_of_the_release_are_those_of_the_chart(
    clouds: Terraform, helm: Helm, example: str, release: str, chart: str
) -> None:
    terraform = within(clouds, f"examples/{example}")
    if chart == "volary-agent":  # the cluster would be declared in a real control plane
        replace_cluster(terraform.directory / "main.tf")
    terraform.apply()
    values = read_values(terraform, release)
    objects = helm.template(chart, values)
    assert {each["kind"] for each in objects} >= {"Deployment", "ServiceAccount", "NetworkPolicy"}
    assert terraform.plan() == ""


def replace_cluster(file: Path) -> None:
    text = file.read_text()
    text = re.sub(r'^resource "volary_.*?^\}\n', "", text, flags=re.MULTILINE | re.DOTALL)
    text = text.replace("volary_cluster.this.name", '"eu-prod"')
    file.write_text(text.replace("volary_cluster.this.join_token", f'"{"t" * 43}"'))


def read_values(terraform: Terraform, release: str) -> dict[str, Any]:
    state = json.loads((terraform.directory / "terraform.tfstate").read_text())
    module, _, name = release.rpartition(".helm_release.")
    [found] = [
        each
        for each in state["resources"]
        if each.get("module") == module and each["type"] == "helm_release" and each["name"] == name
    ]
    merged: dict[str, Any] = {}
    for text in found["instances"][0]["attributes"]["values"]:
        merged |= yaml.safe_load(text) or {}
    return merged


WRONG = {
    "environment": (
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
    "cluster": (
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
    "control-plane": (
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
    source = f'  source = "../../modules/aws/{module}"\n'
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
