"""The file by which local tasks trust the system's authorities and the API's own."""

import asyncio
import ssl
from pathlib import Path

import pytest

from dataplane.agent.runtimes.process.trust import keep_bundle, write_bundle
from tests.kube.certificates import Authority
from tests.running import until


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


async def test_bundle_is_written_again_when_the_mounted_authority_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authorities = [Authority(tmp_path / name).certificate for name in ("system", "old", "new")]
    system, old, new = authorities
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    mounted, bundle = tmp_path / "mounted" / "ca.crt", tmp_path / "authorities.pem"
    mounted.parent.mkdir()
    mounted.symlink_to(old)
    write_bundle(mounted, bundle)

    def replaced_by(authority: Path) -> bool:
        """Replace the link, as the kubelet does; the watch may begin after the first time."""
        draft = mounted.with_name("draft")
        draft.symlink_to(authority)
        draft.rename(mounted)
        return authority.exists() and authority.read_text().strip() in bundle.read_text()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(keep_bundle(mounted, bundle))
        await until(lambda: replaced_by(new), "the new authority")
        assert old.read_text().strip() not in bundle.read_text()
        await until(lambda: replaced_by(tmp_path / "gone") or bool(caplog.records), "an error")
        assert new.read_text().strip() in bundle.read_text()
        keeping.cancel()
