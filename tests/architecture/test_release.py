"""Every part of a release has the version of pyproject.toml, and only allowed licences."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from dataplane.agent.core.software import describe_software
from scripts.release import components, licences
from tests.kube import containerfile

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("chart", ["volary-agent", "volary-controlplane"])
def test_chart_has_the_version_of_the_project(chart: str) -> None:
    text = (ROOT / "infra/helm" / chart / "Chart.yaml").read_text()
    assert f"\nversion: {VERSION}\n" in text
    assert f'\nappVersion: "{VERSION}"\n' in text


def test_agent_and_images_have_the_version_of_the_project() -> None:
    assert f"volary-agent {VERSION}" == describe_software()
    assert VERSION == containerfile.VERSION
    text = (ROOT / "infra/images/Containerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE) == [VERSION]


def test_packages_of_a_release_have_allowed_licences() -> None:
    contained = [*components.python_components(), *components.npm_components(ROOT)]
    assert {"flyte", "asyncpg", "react"} <= {each.name for each in contained}
    assert licences.find_refused(contained) == []


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go: run make test-needs")
def test_modules_of_the_provider_have_allowed_licences() -> None:
    contained = components.go_components(ROOT)
    assert "github.com/hashicorp/terraform-plugin-framework" in {each.name for each in contained}
    assert licences.find_refused(contained) == []
