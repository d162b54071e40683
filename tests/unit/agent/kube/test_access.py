"""Tests of cluster access: proxies from the environment."""

import pytest

from dataplane.agent.kube import access


@pytest.mark.parametrize(
    ("exempt", "found"), [("", "http://proxy.test:3128"), ("10.0.0.1,other.test", None)]
)
def test_environment_proxy_is_used_unless_exempt(
    exempt: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", exempt)

    assert access._find_proxy("https://10.0.0.1:6443") == found
