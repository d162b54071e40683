"""The file by which local tasks trust the system's authorities and the API's own."""

import ssl
from pathlib import Path

import pytest

from dataplane.agent.runtimes.process.trust import write_bundle
from tests.kube.certificates import Authority


def test_bundle_trusts_the_system_and_the_private_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, own = Authority(tmp_path / "system"), Authority(tmp_path / "own")
    monkeypatch.setenv("SSL_CERT_FILE", str(system.certificate))
    bundle = tmp_path / "authorities.pem"

    for _ in range(2):  # again at each start of the agent
        assert write_bundle(own.certificate, bundle) == bundle

    assert len(ssl.create_default_context(cafile=bundle).get_ca_certs()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["authorities.pem", "own", "system"]


def test_no_bundle_is_written_where_it_would_replace_authorities_that_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    own = Authority(tmp_path / "own")
    assert write_bundle(own.certificate, tmp_path / "authorities.pem") is None
    assert not (tmp_path / "authorities.pem").exists()
