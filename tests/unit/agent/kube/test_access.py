"""Ways into a cluster, as far as the surroundings tell them."""

import pytest

from dataplane.agent.kube import access


@pytest.mark.parametrize(
    ("exempt", "found"), [("", "http://proxy.test:3128"), ("10.0.0.1,other.test", None)]
)
def test_a_proxy_of_the_environment_is_used_but_where_it_is_exempt(
    exempt: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", exempt)

    assert access._find_proxy("https://10.0.0.1:6443") == found
