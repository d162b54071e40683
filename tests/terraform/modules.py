"""Modules and examples of infra/terraform, copied for a test, with providers that are schemas only."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.cli import Terraform

_ROOT = Path(__file__).parents[2]
INFRA = _ROOT / "infra" / "terraform"
MODULES = INFRA / "modules"
SCHEMAS = Path(__file__).parent / "schemas"
_SOURCE = Path(__file__).parent / "schemaprovider"


def copy_module(source: Path, to: Path) -> None:
    """Copy a module that names no other one."""
    for file in source.rglob("*.*"):
        if ".terraform" not in file.parts and file.is_file():
            (to / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to / file.relative_to(source))


def build_schema_providers(folder: Path) -> None:
    """Build the provider that has schemas only, once for each of the clouds' providers."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go toolchain to build providers with: run make test-needs")
    names = [f"terraform-provider-{file.stem}" for file in SCHEMAS.glob("*.json")]
    subprocess.run(  # noqa: S603 -- our own arguments
        [go, "build", "-trimpath", "-buildvcs=false", "-o", folder / names[0], "."],
        cwd=_SOURCE,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    for name in names[1:]:
        (folder / name).hardlink_to(folder / names[0])


def with_schema_providers(terraform: Terraform, folder: Path, volary: Path) -> Terraform:
    """Return Terraform in a copy of the examples, modules and charts, with those providers."""
    home = terraform.directory
    shutil.copytree(
        INFRA, home / "infra/terraform", ignore=shutil.ignore_patterns("provider", ".terraform*")
    )
    lines = [f'"hashicorp/{file.stem}" = "{folder}"' for file in SCHEMAS.glob("*.json")]
    overrides = "\n".join([*lines, f'"volary/volary" = "{volary}"'])
    (home / "terraformrc").write_text(
        f"provider_installation {{\n  dev_overrides {{\n{overrides}\n  }}\n  direct {{}}\n}}\n"
    )
    return terraform.with_environment(
        VOLARY_TEST_SCHEMAS=str(SCHEMAS), VOLARY_URL="http://localhost:1"
    )


def planned(terraform: Terraform) -> dict[str, dict[str, Any]]:
    """Plan, and return the planned values of each managed resource by its address."""
    terraform.run("plan", "-out=saved")
    shown = json.loads(terraform.run("show", "-json", "saved")[1])
    return {
        each["address"]: each["change"]["after"]
        for each in shown["resource_changes"]
        if each["mode"] == "managed"
    }


def within(terraform: Terraform, folder: str) -> Terraform:
    """Return Terraform in a folder of the copy, with its modules."""
    directory = terraform.directory / "infra/terraform" / folder
    there = Terraform(terraform.command, directory, terraform.environment)
    there.run("get")
    return there
