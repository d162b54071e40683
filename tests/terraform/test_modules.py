"""
The modules: their pure parts by ``terraform test``, the rest against the schemas of the clouds' providers.

Nothing here applies anything to a cloud: infra/terraform/README.md says so.
"""

import json
import re
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
    copy_module,
    planned,
    within,
)

IDENTITIES = {  # annotations of service accounts
    "aws": set(),  # EKS Pod Identity needs none
    "azure": {"azure.workload.identity/client-id"},
    "gcp": {"iam.gke.io/gcp-service-account"},
}
PURE = sorted(folder.parent for folder in MODULES.rglob("tests"))
EXAMPLES = sorted(path.name for path in (INFRA / "examples").iterdir())
MODULE_FOLDERS = sorted({file.parent for file in MODULES.rglob("*.tf")})
_VARIABLE = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


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
    assert len(found) > 20
    unlabelled = [
        address
        for address, values in found.items()
        for name in (("labels", "resource_labels") if ".google_" in address else ("tags",))
        if name in values and not (values[name] or {}).get("volary-name")
    ]
    assert unlabelled == []


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


def test_google_bucket_and_database_are_private_encrypted_and_restorable(
    clouds: Terraform,
) -> None:
    found = planned(within(clouds, "examples/gcp-control-plane"))
    bucket = found["module.control_plane.module.bucket[0].google_storage_bucket.this"]
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["uniform_bucket_level_access"]
    assert bucket["versioning"][0]["enabled"]
    assert bucket["encryption"]
    database = found["module.control_plane.google_sql_database_instance.this"]
    [settings] = database["settings"]
    assert settings["availability_type"] == "REGIONAL"
    assert settings["tier"] == "db-custom-4-16384"
    [backups] = settings["backup_configuration"]
    assert backups["point_in_time_recovery_enabled"]
    [address] = settings["ip_configuration"]
    assert not address["ipv4_enabled"]
    assert address["ssl_mode"] == "ENCRYPTED_ONLY"
    [nodes] = found[
        'module.control_plane.module.cluster.google_container_node_pool.this["control-plane"]'
    ]["node_config"]
    assert nodes["workload_metadata_config"][0]["mode"] == "GKE_METADATA"


def test_azure_account_and_database_are_private_encrypted_and_restorable(
    clouds: Terraform,
) -> None:
    found = planned(within(clouds, "examples/azure-control-plane"))
    account = found["module.control_plane.module.storage.azurerm_storage_account.this"]
    assert not account["shared_access_key_enabled"]
    assert not account["allow_nested_items_to_be_public"]
    assert account["min_tls_version"] == "TLS1_2"
    assert account["blob_properties"][0]["versioning_enabled"]
    database = found["module.control_plane.azurerm_postgresql_flexible_server.this"]
    assert database["high_availability"][0]["mode"] == "ZoneRedundant"
    assert database["backup_retention_days"] == 14
    assert not database["public_network_access_enabled"]
    assert database["administrator_password_wo"] is None
    cluster = found["module.control_plane.module.cluster.azurerm_kubernetes_cluster.this"]
    assert cluster["local_account_disabled"]
    assert cluster["workload_identity_enabled"]


@pytest.mark.parametrize("cloud", ["azure", "gcp"])
def test_agents_and_tasks_have_the_least_roles_on_the_store(clouds: Terraform, cloud: str) -> None:
    found = planned(within(clouds, f"examples/{cloud}-environment"))
    if cloud == "gcp":
        granted = {
            (address.partition(".google_")[2], values["role"])
            for address, values in found.items()
            if address.startswith("module.environment.google_") and values.get("role")
        }
        assert {role for _, role in granted} == {
            "roles/storage.objectUser",
            "roles/iam.serviceAccountTokenCreator",
            "roles/iam.workloadIdentityUser",
        }
        conditions = [
            values["condition"][0]["expression"]
            for address, values in found.items()
            if ".google_storage_bucket_iam_member.store[" in address
        ]
    else:
        roles = [v for a, v in found.items() if a.startswith("module.environment.azurerm_role_")]
        assert {each["role_definition_name"] for each in roles} == {
            "Storage Blob Data Contributor",
            "Storage Blob Delegator",
        }
        conditions = [each["condition"] for each in roles if each["condition"]]
        assert all(each["condition_version"] == "2.0" for each in roles if each["condition"])
    assert len(conditions) == 2
    assert all("volary/acme/" in each for each in conditions)


@pytest.mark.parametrize(
    ("example", "release", "chart"),
    [
        ("aws-environment", "module.environment.helm_release.agent", "volary-agent"),
        (
            "aws-control-plane",
            "module.control_plane.helm_release.control_plane",
            "volary-controlplane",
        ),
        ("azure-environment", "module.environment.helm_release.agent", "volary-agent"),
        (
            "azure-control-plane",
            "module.control_plane.helm_release.control_plane",
            "volary-controlplane",
        ),
        ("gcp-environment", "module.environment.helm_release.agent", "volary-agent"),
        (
            "gcp-control-plane",
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
    identity = IDENTITIES[example.partition("-")[0]]
    accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
    assert {
        name for each in accounts for name in each["metadata"].get("annotations", {})
    } == identity
    [deployment] = [each for each in objects if each["kind"] == "Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert ("azure.workload.identity/use" in labels) == example.startswith("azure")
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
