"""The release that the agent reports to the control plane."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from dataplane.agent.core import software


def test_software_names_the_installed_release() -> None:
    assert software.describe_software() == f"volary-agent {version('volary')}"


def test_software_of_sources_that_were_not_installed_has_no_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(software, "version", find_none)
    assert software.describe_software.__wrapped__() == "volary-agent unknown"
