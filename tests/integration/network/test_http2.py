"""HTTP/2 on the TLS port: the same answers as HTTP/1.1, and bounds on what one client may use."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    CreateUploadLocationRequest,
    CreateUploadLocationResponse,
)
from flyteidl2.workflow.run_service_pb2 import WatchRunsRequest
from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame

from controlplane.web.http_limits import HttpLimits
from tests.integration.api.client import DOMAIN, PROJECT
from tests.integration.api.requests import create_run, project_id
from tests.integration.network.served import LIMITS, Served, put_blob, serve
from tests.running import until
from tests.servers.http2_client import Http2Client, http2_connected

CREATE_RUN = "/flyteidl2.workflow.RunService/CreateRun"
PROTO = ("content-type", "application/proto")


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Http2Client]:
    async with http2_connected(served.api.url, served.files.trust()) as client:
        yield client


async def post(client: Http2Client, path: str, body: bytes) -> int:
    stream = await client.request(path, PROTO, method="POST", ends=False)
    client.h2.send_data(stream, body, end_stream=True)
    await client.flush()
    return stream


async def test_http2_serves_rpcs_pages_and_probes_at_once(client: Http2Client) -> None:
    run = await post(client, CREATE_RUN, create_run().SerializeToString())
    probe = await client.request("/healthz")
    assert (await client.read_answer(probe)).body == b"alive\n"
    assert (await client.read_answer(run)).status == 200
    page = await client.request("/v2/domain/development/project/flytesnacks/runs/r1")
    assert b"Run flytesnacks/development/r1" in (await client.read_answer(page)).body
    head = await client.read_answer(await client.request("/healthz", method="HEAD"))
    assert (head.status, head.body) == (200, b"")
    none = await client.read_answer(await client.request("/%6Eowhere"))
    assert none.status == 404


async def test_http2_upload_and_download_larger_than_every_window(client: Http2Client) -> None:
    body = bytes(range(256)) * 16 * 1024  # 4 MiB; a stream's window has 64 KiB to 256 KiB
    answer = await client.read_answer(
        await post(
            client,
            "/flyteidl2.dataproxy.DataProxyService/CreateUploadLocation",
            CreateUploadLocationRequest(
                project=PROJECT,
                domain=DOMAIN,
                content_md5=hashlib.md5(body, usedforsecurity=False).digest(),
                filename="data",
                content_length=len(body),
            ).SerializeToString(),
        )
    )
    location = CreateUploadLocationResponse.FromString(answer.body)
    url = urlsplit(location.signed_url)
    stream = await client.request(
        f"{url.path}?{url.query}",
        ("content-length", str(len(body))),
        method="PUT",
        ends=False,
    )
    rest = memoryview(body)
    while rest:
        room = min(client.h2.local_flow_control_window(stream), client.h2.max_outbound_frame_size)
        if room:
            client.h2.send_data(stream, bytes(rest[:room]))
            rest = rest[room:]
            await client.flush()
        else:
            assert await client.receive()
    client.h2.end_stream(stream)
    await client.flush()
    assert (await client.read_answer(stream)).status == 200


async def test_http2_answer_is_sent_as_its_reader_reads(served: Served) -> None:
    body = b"0123456789abcdef" * 64 * 1024
    link = await put_blob(served, "large", body)
    async with http2_connected(served.api.url, served.files.trust(), acknowledges=False) as client:
        stream = await client.request(link)
        answer = client.answers[stream]
        while len(answer.body) < 65_535:  # the window that a client has at first
            assert await client.receive()
        probe = await client.request("/healthz", method="HEAD")
        assert (await client.read_answer(probe)).status == 200
        assert len(answer.body) == 65_535
        client.h2.increment_flow_control_window(len(body))
        client.h2.increment_flow_control_window(len(body), stream)
        await client.flush()
        assert (await client.read_answer(stream)).body == body


# What one client may use.


async def attack_resets(client: Http2Client) -> None:
    for _ in range(3000):
        stream = client.h2.get_next_available_stream_id()
        pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")]
        client.h2.send_headers(stream, [*pseudo, (":path", "/readyz")], end_stream=True)
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
    await client.flush()


async def attack_pings(client: Http2Client) -> None:
    client.writer.write(PingFrame(0, opaque_data=b"12345678").serialize() * 5000)


async def attack_settings(client: Http2Client) -> None:
    for _ in range(3000):
        client.h2.update_settings({})
    await client.flush()


async def attack_empty_data(client: Http2Client) -> None:
    stream = await client.request(CREATE_RUN, PROTO, method="POST", ends=False)
    for _ in range(5000):
        client.h2.send_data(stream, b"")
    await client.flush()


async def attack_continuations(client: Http2Client) -> None:
    client.writer.write(HeadersFrame(1, data=b"").serialize())
    for _ in range(100):
        client.writer.write(ContinuationFrame(1, data=b"\x00\x01a\x01b" * 3000).serialize())


async def attack_large_headers(client: Http2Client) -> None:
    await client.request("/healthz", *[(f"x-{number}", "y" * 4000) for number in range(20)])


async def attack_header_table(client: Http2Client) -> None:
    # A kilobyte of references to one large entry of the table: a bomb for whoever expands it.
    large = ("x-large", "y" * 3000)
    await client.request("/healthz", large, *[large] * 100)


async def attack_no_preface(client: Http2Client) -> None:
    client.writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100)


async def attack_wrong_frames(client: Http2Client) -> None:
    client.writer.write(b"\xff" * 70_000)


ATTACKS: dict[str, Callable[[Http2Client], Coroutine[None, None, None]]] = {
    "rapid resets": attack_resets,
    "pings": attack_pings,
    "settings": attack_settings,
    "empty data": attack_empty_data,
    "continuations": attack_continuations,
    "large headers": attack_large_headers,
    "header table": attack_header_table,
    "wrong frames": attack_wrong_frames,
    "no preface": attack_no_preface,
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_http2_client_that_floods_loses_its_connection(
    served: Served, attack: Callable[[Http2Client], Coroutine[None, None, None]]
) -> None:
    async with (
        http2_connected(served.api.url, served.files.trust(), source="127.0.0.2") as client,
        asyncio.TaskGroup() as tasks,
    ):
        attacking = tasks.create_task(attack(client))
        await client.read_to_end()
        attacking.cancel()
    await until(lambda: len(served.api.connections) == 0, "the connection is closed")
    async with http2_connected(served.api.url, served.files.trust()) as other:
        assert (await other.read_answer(await other.request("/healthz"))).status == 200


async def test_http2_request_with_too_many_headers_is_refused(client: Http2Client) -> None:
    many = [(f"x-{number}", "y") for number in range(200)]
    answer = await client.read_answer(await client.request("/healthz", *many))
    assert (answer.status, b"VOLARY_HTTP_HEADERS" in answer.body) == (431, True)
    assert (await client.read_answer(await client.request("/healthz"))).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("transfer-encoding", "chunked")],
        [("connection", "keep-alive")],
        [("Upper", "case")],
        [("x-split", "a\r\nhost: evil")],
        [("host", "evil.example")],
        [("content-length", "5")],
        [(":path", "/twice")],
    ],
)
async def test_http2_request_that_could_be_smuggled_is_refused(
    client: Http2Client, headers: list[tuple[str, str]]
) -> None:
    answer = await client.read_answer(await client.request("/healthz", *headers))
    assert answer.status not in range(200, 300)


async def test_http2_streams_beyond_their_limit_are_refused(
    served: Served, client: Http2Client
) -> None:
    body = WatchRunsRequest(project_id=project_id()).SerializeToString()
    envelope = b"\0" + len(body).to_bytes(4, "big") + body
    kind = ("content-type", "application/connect+proto")
    path = "/flyteidl2.workflow.RunService/WatchRuns"
    for _ in range(LIMITS.streams + 5):  # before the client has read how many there may be
        stream = await client.request(path, kind, method="POST", ends=False)
        client.h2.send_data(stream, envelope, end_stream=True)
    await client.flush()
    while sum(each.reset is not None for each in client.answers.values()) < 5:
        assert await client.receive()
    assert {each.reset for each in client.answers.values()} == {None, ErrorCodes.REFUSED_STREAM}
    await until(lambda: len(served.api.api.streams) == LIMITS.streams, "the others are served")


async def test_http2_body_that_does_not_come_is_ended(database_url: str, tmp_path: Path) -> None:
    limits = HttpLimits(body_within=timedelta(seconds=1))
    async with (
        serve(database_url, tmp_path, limits=limits) as served,
        http2_connected(served.api.url, served.files.trust()) as client,
    ):
        stream = await client.request(CREATE_RUN, PROTO, method="POST", ends=False)
        client.h2.send_data(stream, b"\n")
        await client.flush()
        answer = await client.read_answer(stream)
        assert (answer.status, b"VOLARY_HTTP_BODY_SECONDS" in answer.body) == (408, True)
        assert (await client.read_answer(await client.request("/healthz"))).status == 200


@pytest.mark.parametrize("window", [0, 100_000_000])
async def test_http2_answer_that_is_not_read_is_cut(
    database_url: str, tmp_path: Path, window: int
) -> None:
    """By HTTP/2's window, which stays closed, and by TCP's, as nothing is read."""
    limits = HttpLimits(read_within=timedelta(seconds=1))
    async with serve(database_url, tmp_path, limits=limits) as served:
        link = await put_blob(served, "large", b"x" * 32 * 1024 * 1024)
        async with http2_connected(
            served.api.url, served.files.trust(), acknowledges=False
        ) as client:
            stream = await client.request(link)
            if window:
                client.h2.increment_flow_control_window(window)
                client.h2.increment_flow_control_window(window, stream)
                await client.flush()
                await until(lambda: len(served.api.connections) == 0, "it is cut")
            else:
                answer = await client.read_answer(stream)
                assert (answer.reset, len(answer.body)) == (ErrorCodes.CANCEL, 65_535)


async def test_http2_connection_without_requests_is_closed(
    served: Served, client: Http2Client
) -> None:
    await client.read_to_end()  # after the time for a head
    assert client.goaway == ErrorCodes.NO_ERROR
    await until(lambda: len(served.api.connections) == 0, "the connection is closed")
