"""The HTTP port by TLS: handshakes, versions, certificates that change, and limits before them."""

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client import CollectorRegistry

from controlplane.web.connection import BoundedConnection
from controlplane.web.tls import PortCertificate
from shared.kit.certificate_files import CertificateFiles
from shared.kit.clock import SystemClock
from tests.integration.api.client import ApiUnderTest, open_api
from tests.integration.api.requests import create_run
from tests.integration.network.served import LIMITS, Served
from tests.running import until
from tests.servers.raw_http import connected, head_of
from tests.servers.tls import make_files

HEALTH = head_of("/healthz", method="GET")


async def peer_certificate(served: Served) -> bytes:
    """Return the certificate that a new connection is shown."""
    async with connected(served.api.url, trust=served.files.trust()) as client:
        shown = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(shown, bytes)
        return shown


async def test_tls_port_serves_rpcs_pages_and_probes(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.api.url, verify=served.files.trust()) as http:
        assert (await http.get("/healthz")).text == "alive\n"
        answer = await http.post(
            "/flyteidl2.workflow.RunService/CreateRun",
            content=create_run().SerializeToString(),
            headers={"content-type": "application/proto"},
        )
        assert answer.status_code == 200
        page = await http.get("/v2/domain/development/project/flytesnacks/runs/r1")
        assert page.status_code == 200


async def test_tls_port_shows_a_new_certificate_and_keeps_open_connections(served: Served) -> None:
    before = await peer_certificate(served)
    async with connected(served.api.url, trust=served.files.trust()) as old:

        async def is_new() -> bool:
            served.files.put(served.files.make())
            return await peer_certificate(served) != before

        await until(is_new, "the new certificate is shown")
        await old.send(HEALTH)
        assert (await old.read_answer()).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_port_refuses_old_versions(served: Served, version: ssl.TLSVersion) -> None:
    trust = served.files.trust()
    trust.set_ciphers("ALL:@SECLEVEL=0")
    trust.minimum_version = trust.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with connected(served.api.url, trust=trust):
            pass
    await until(lambda: len(served.api.connections) == 0, "nothing is left of it")
    trust.minimum_version = trust.maximum_version = ssl.TLSVersion.TLSv1_2
    async with connected(served.api.url, trust=trust) as client:
        await client.send(HEALTH)
        assert (await client.read_answer()).status == 200


@pytest.mark.parametrize("data", [HEALTH, b"\x16\x03\x01\x40\x00", b"\0" * 70_000])
async def test_tls_port_closes_connections_that_speak_no_tls(served: Served, data: bytes) -> None:
    async with connected(served.api.url.replace("https", "http")) as client:
        await client.send(data)
        assert b"HTTP" not in await client.read_to_end()
    await until(lambda: len(served.api.connections) == 0, "nothing is left of it")


async def test_half_open_handshakes_are_counted_by_address_and_ended(served: Served) -> None:
    sockets = [socket.create_connection(served.address) for _ in range(200)]
    try:
        await until(
            lambda: len(served.api.connections) == LIMITS.connections_per_address,
            "no more than one address may have",
        )
        async with connected(
            served.api.url, source="127.0.0.2", trust=served.files.trust()
        ) as other:
            await other.send(HEALTH)
            assert (await other.read_answer()).status == 200
        await until(lambda: len(served.api.connections) == 0, "the handshakes' time is over")
    finally:
        for each in sockets:
            each.close()
    assert await peer_certificate(served)


async def test_connections_by_tls_are_bounded_by_address(served: Served) -> None:
    trust = served.files.trust()
    async with AsyncExitStack() as clients:
        for _ in range(LIMITS.connections_per_address):
            await clients.enter_async_context(connected(served.api.url, trust=trust))
        with pytest.raises(ConnectionError):
            async with connected(served.api.url, trust=trust):
                pass
    await until(lambda: len(served.api.connections) == 0, "all are closed")
    assert await peer_certificate(served)


async def test_client_by_tls_reads_why_its_request_is_refused(served: Served) -> None:
    async with connected(served.api.url, trust=served.files.trust()) as client:
        await client.send(head_of("/healthz", f"x-large: {'x' * 64 * 1024}", method="GET"))
        answer = await client.read_answer()
    assert answer.status == 431
    assert "VOLARY_HTTP_HEAD_BYTES" in answer.text
    async with connected(served.api.url, trust=served.files.trust()) as client:
        await client.send(HEALTH[:-2])
        answer = await client.read_answer()
    assert answer.status == 408
    await until(lambda: len(served.api.connections) == 0, "both are closed")


async def test_handshake_under_way_at_a_stop_is_ended(database_url: str, tmp_path: Path) -> None:
    files = make_files(tmp_path / "tls")
    certificate = PortCertificate(
        CertificateFiles(files.certificate, files.key, SystemClock()), CollectorRegistry()
    )
    async with open_api(database_url, tmp_path / "blobs", tls=certificate.context) as api:
        url = urlsplit(api.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        await until(lambda: len(api.connections) == 1, "the handshake is under way")
    assert await reader.read() == b""
    writer.close()
    assert len(api.connections) == 0


async def test_answers_are_sent_without_the_delay_that_collects_small_packets(
    served: Served, plain: ApiUnderTest
) -> None:
    """Head and body are two writes: with Nagle's algorithm the second waits 40 ms."""
    assert await has_no_delay(served.api, served.files.trust())
    assert await has_no_delay(plain, None)


async def has_no_delay(api: ApiUnderTest, trust: ssl.SSLContext | None) -> bool:
    async with connected(api.url, trust=trust):
        await until(lambda: len(api.connections._made) == 1, "it is connected")
        [connection] = api.connections._made
        opened = cast(BoundedConnection, connection).transport.get_extra_info("socket")
        return bool(opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
