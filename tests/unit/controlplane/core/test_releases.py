"""Agents of other releases than the control plane's are named, with what to upgrade."""

from importlib.metadata import PackageNotFoundError

import pytest

from controlplane.core import releases
from controlplane.core.releases import describe_skew, own_release, read_release


@pytest.mark.parametrize(
    ("software", "release"),
    [
        ("volary-agent 0.1.0", "0.1.0"),
        ("volary-agent 12.3.4rc1", "12.3.4rc1"),
        ("volary-agent 0.2", "0.2"),
        ("volary-agent unknown", ""),
        ("", ""),
    ],
)
def test_release_is_read_from_the_agents_software(software: str, release: str) -> None:
    assert read_release(software) == release


@pytest.mark.parametrize(
    ("agent", "own", "words"),
    [
        ("1.4.0", "1.4.7", ""),
        ("", "1.4.0", ""),
        ("1.4.0", "", ""),
        ("1.3.0", "1.4.0", "1 release behind"),
        ("1.2.0", "1.4.0", "2 releases behind"),
        ("1.1.0", "1.4.0", "too old for the control plane (1.4.0): upgrade the agent"),
        ("0.4.0", "1.4.0", "too old"),
        ("1.5.0", "1.4.0", "newer than the control plane (1.4.0): upgrade that first"),
        ("2.0.0", "1.4.0", "newer"),
    ],
)
def test_skew_of_releases_is_described_with_a_remedy(agent: str, own: str, words: str) -> None:
    described = describe_skew(agent, own)
    assert words in described
    assert bool(words) == bool(described)


def test_own_release_is_the_installed_distributions() -> None:
    assert read_release(f"volary {own_release()}")


def test_sources_that_were_not_installed_have_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(releases, "version", find_none)
    assert own_release.__wrapped__() == ""
