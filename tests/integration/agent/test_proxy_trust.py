"""The API proxy trusts the authorities that are in its file now, without a restart of the agent."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from dataplane.agent.proxy.errors import PodCallRefusedError
from dataplane.agent.proxy.upstream import Upstream
from shared.kit.certificates import CertificateError
from shared.kit.trust_file import MAX_FILE_BYTES, TrustFile
from tests.running import running, until
from tests.servers.http import serving
from tests.servers.tls import TlsFiles, make_files

ANSWER = PlainTextResponse("", headers={"x-answered": "yes"})


async def no_credential(_: object) -> dict[str, str]:
    return {}


async def call(upstream: Upstream) -> str:
    caller: Any = None  # no credential is asked for
    async with upstream.send("p.S/M", b"", caller, headers={}, within=20) as answer:
        return answer.headers["x-answered"]


def mount(directory: Path, authorities: bytes) -> Path:
    """Put a CA file there as the kubelet does: a link to a directory that is replaced whole."""
    directory.mkdir(exist_ok=True)
    version = directory / f"..{len(list(directory.iterdir()))}"
    version.mkdir()
    (version / "ca.crt").write_bytes(authorities)
    link = directory / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(directory / "..data")
    file = directory / "ca.crt"
    if not file.is_symlink():
        file.symlink_to("..data/ca.crt")
    return file


@pytest.fixture
def old(tmp_path: Path) -> TlsFiles:
    return make_files(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> TlsFiles:
    return make_files(tmp_path / "new")


async def test_proxy_calls_a_control_plane_of_another_authority_once_its_file_is_replaced(
    old: TlsFiles, new: TlsFiles, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    trust = TrustFile(mount(mounted, old.authority.certificate))
    async with (
        serving(ANSWER, certificate=old.certificate, key=old.key) as before,
        serving(ANSWER, certificate=new.certificate, key=new.key) as after,
        Upstream.open(before, no_credential, trust=trust) as upstream,
        Upstream.open(after, no_credential, trust=trust) as renewed,
        running(trust),
    ):
        assert await call(upstream) == "yes"
        with pytest.raises(PodCallRefusedError):
            await call(renewed)
        context = trust.context
        # The watch may begin after the first replacement, so each look makes another one.
        await until(
            lambda: bool(mount(mounted, new.authority.certificate)) and trust.context != context,
            "the new authorities are trusted",
        )
        assert await call(renewed) == "yes"
        with pytest.raises(PodCallRefusedError):  # the connection before is not used again
            await call(upstream)


async def test_authorities_stay_trusted_while_their_file_is_unusable(
    old: TlsFiles, new: TlsFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mounted = tmp_path / "mounted"
    file = mount(mounted, old.authority.certificate)
    trust = TrustFile(file)
    context = trust.context
    assert not trust.reload()
    for content in (b"", b"\xff\0", b"x" * (MAX_FILE_BYTES + 1)):
        mount(mounted, content)
        assert not trust.reload()
        assert not trust.reload()  # logged once
    assert trust.context is context
    shutil.rmtree(mounted / "..data" / ".." / (mounted / "..data").readlink())
    assert not trust.reload()
    reasons = [record.__dict__["error"] for record in caplog.records]
    assert [reason.rpartition("ca.crt ")[2] for reason in reasons] == [
        "holds no certificates that can be read",
        f"is larger than {MAX_FILE_BYTES} bytes",
        "cannot be read: No such file or directory",
    ]
    mount(mounted, new.authority.certificate)
    assert trust.reload()
    assert trust.context is not context


def test_authorities_that_cannot_be_used_at_the_start_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="cannot be read: No such file"):
        TrustFile(tmp_path / "ca.crt")
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(CertificateError, match="holds no certificates"):
        TrustFile(tmp_path / "ca.crt")
