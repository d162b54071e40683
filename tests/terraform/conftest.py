"""Terraform with the provider of this tree, and orgs on one control plane."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.helm import helm
from tests.servers.postgres import PostgresForTests
from tests.system.tenants import world as installations
from tests.system.tenants.world import Installation
from tests.terraform import cli
from tests.terraform.cli import Terraform
from tests.terraform.modules import build_schema_providers, with_schema_providers
from tests.terraform.world import Org, make_org

__all__ = ["helm"]

_ROOT = Path(__file__).parents[2]
_NO_TERRAFORM = "no terraform or tofu from 1.11: install one, or run make test-needs"


@pytest.fixture(scope="session")
def provider_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the provider; Go's own cache makes it seconds after the first time."""
    if shutil.which("go") is None:
        pytest.skip("there is no Go toolchain to build the provider with: run make test-needs")
    folder = tmp_path_factory.mktemp("provider")
    subprocess.run(  # noqa: S603 -- our own arguments
        ["make", "--no-print-directory", "provider", f"INTO={folder}"],  # noqa: S607
        cwd=_ROOT,
        env={**os.environ},
        check=True,
    )
    return folder


@pytest.fixture
def plain_terraform(tmp_path: Path) -> Terraform:
    """Terraform without a provider, in an empty directory."""
    command = cli.find()
    if command is None:
        pytest.skip(_NO_TERRAFORM)
    home = tmp_path / "terraform"
    home.mkdir()
    (home / "terraformrc").write_text("")
    return Terraform(command, home, {"TF_CLI_CONFIG_FILE": str(home / "terraformrc")})


@pytest.fixture
def terraform(plain_terraform: Terraform, provider_folder: Path) -> Terraform:
    """Terraform that takes the provider from this tree, without ``init``."""
    (plain_terraform.directory / "terraformrc").write_text(
        f'provider_installation {{\n  dev_overrides {{ "volary/volary" = "{provider_folder}" }}\n'
        "  direct {}\n}\n"
    )
    return plain_terraform


@pytest.fixture(scope="session")
def schema_providers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schema-providers")
    build_schema_providers(folder)
    return folder


@pytest.fixture
def clouds(plain_terraform: Terraform, schema_providers: Path, provider_folder: Path) -> Terraform:
    """Terraform in a copy of infra/terraform, with the schemas of the clouds' providers."""
    terraform = with_schema_providers(plain_terraform, schema_providers, provider_folder)
    return terraform.with_environment(TF_VAR_database_owner_password="p" * 16)


@pytest.fixture(scope="module")
def installation(
    postgres_server: PostgresForTests, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    with postgres_server.migrated() as database, installations.running(home, database) as running:
        yield running


@pytest.fixture
def org(installation: Installation, terraform: Terraform) -> Org:
    """An org of this test's own."""
    return make_org(installation, terraform, terraform.directory)
