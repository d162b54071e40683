"""Why a host cannot be reached is told from what the network really does."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from dataplane.agent.doctor import connectivity
from dataplane.agent.doctor.connectivity import Endpoint, reach, read_ca, split_address
from dataplane.agent.doctor.results import CheckResult, Outcome
from shared.kit.clock import SystemClock
from tests.kube.certificates import Authority
from tests.ports import free_ports
from tests.servers.http import serving


def _place(host: str, port: int, ca: Path | None = None, **more: bool | timedelta) -> Endpoint:
    return Endpoint(
        about="there",
        host=host,
        port=port,
        setting="--there",
        ca=None if ca is None else ca.read_text(),
        ca_setting="--ca-file",
        **more,  # type: ignore[arg-type]
    )


async def _reach(place: Endpoint) -> CheckResult:
    return await reach(place, SystemClock())


@asynccontextmanager
async def _https(authority: Authority, name: str) -> AsyncIterator[int]:
    shows = authority.issue(f"server-{name}", reached_at=[name])
    async with serving(
        PlainTextResponse("hello"), certificate=shows.certificate, key=shows.key
    ) as url:
        yield int(url.rpartition(":")[2])


@contextmanager
def _deaf() -> Iterator[int]:
    """A listener that accepts no connection and sends nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        yield listening.getsockname()[1]


async def test_a_server_that_is_trusted_is_fine(authority: Authority) -> None:
    async with _https(authority, "127.0.0.1") as port:
        found = await _reach(
            _place("127.0.0.1", port, authority.certificate, expires_soon=timedelta())
        )
    assert found.outcome is Outcome.OK
    assert "with a certificate until" in found.text


async def test_a_certificate_that_ends_soon_is_told_before_it_does(authority: Authority) -> None:
    async with _https(authority, "127.0.0.1") as port:
        found = await _reach(_place("127.0.0.1", port, authority.certificate))
    assert found.outcome is Outcome.WARN
    assert "expires in 0 days" in found.text


async def test_a_name_that_does_not_exist() -> None:
    found = await _reach(_place("nowhere.invalid", 443))
    assert found.outcome is Outcome.FAIL
    assert "does not resolve" in found.text
    assert "--there" in found.remedy


async def test_port_without_a_listener_fails() -> None:
    found = await _reach(_place("127.0.0.1", free_ports(1)[0]))
    assert "nothing listens there" in found.text


async def test_a_host_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "CONNECT_WITHIN", timedelta(seconds=1))
    with _deaf() as port:
        async with asyncio.timeout(60):
            found = await _reach(_place("127.0.0.1", port))
    assert "does not answer within 1 s" in found.text
    assert "firewall" in found.remedy


async def test_certificate_of_an_unknown_authority_fails(authority: Authority) -> None:
    async with _https(authority, "127.0.0.1") as port:
        found = await _reach(_place("127.0.0.1", port))
    assert "certificate that is not trusted" in found.text
    assert "--ca-file" in found.remedy


async def test_certificate_of_another_authority_fails(authority: Authority) -> None:
    async with _https(authority, "elsewhere.example.com") as port:
        found = await _reach(_place("127.0.0.1", port, authority.certificate))
    assert "not trusted" in found.text
    assert "127.0.0.1" in found.text


async def test_a_server_without_tls(authority: Authority) -> None:
    async with serving(PlainTextResponse("hello")) as url:
        host, port = split_address(url.removeprefix("http://"))
        found = await _reach(_place(host, port, authority.certificate))
        assert "does not speak TLS" in found.text
        assert (await _reach(_place(host, port, is_plain=True))).outcome is Outcome.OK


def test_certificates_that_are_none_are_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    for content in (None, "no certificate"):
        if content is not None:
            file.write_text(content)
        found = read_ca(file, "there")
        assert isinstance(found, CheckResult)
        assert str(file) in found.text
    assert read_ca(None, "there") is None


@pytest.mark.parametrize(
    ("address", "parts"),
    [("a.example.com:8101", ("a.example.com", 8101)), ("[::1]:8101", ("::1", 8101))],
)
def test_an_address_is_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert _place(*parts).address == address
