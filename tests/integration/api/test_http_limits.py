"""Limits of one client on the HTTP port, over raw sockets: each refusal names its limit."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import repeat
from pathlib import Path

import pytest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, WatchRunsRequest

from controlplane.web.http_limits import HttpLimits
from tests.integration.api.client import ApiUnderTest, open_api
from tests.integration.api.requests import create_run, project_id, run_id
from tests.running import until
from tests.servers.raw_http import connected, head_of

PATH = "/flyteidl2.workflow.RunService/GetRunDetails"
HEALTH = head_of("/healthz", method="GET")
LIMITS = HttpLimits(
    connections=24,
    connections_per_address=12,
    head_bytes=16 * 1024,
    headers=40,
    head_within=timedelta(seconds=1),
    body_within=timedelta(seconds=1),
    body_bytes_per_second=64 * 1024,
)
MOST_TAKEN = 8 * 1024 * 1024
"""Bytes that are read of a client that goes on sending: the kernel's buffers, and a little."""


@pytest.fixture
async def limited(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs", limits=LIMITS) as api:
        yield api


def large_heads() -> Iterator[tuple[str, list[bytes]]]:
    large = "x" * 64 * 1024
    start = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n".encode()
    yield "a long header, at once", [head_of(PATH, f"x-large: {large}")]
    yield "a long header, in parts", [start, b"x-large: ", *repeat(b"x" * 1000, 64)]
    yield "a long header that never ends", [start, b"x-large: ", *repeat(b"x" * 65536, 4096)]
    yield "a long name", [start, *repeat(b"x" * 1000, 64)]
    yield "a long target", [head_of(f"/{large}")]
    yield "a target that never ends", [b"GET /", *repeat(b"x" * 65536, 4096)]
    yield "many headers without an end", [start, *repeat(b"x-y: z\r\n" * 1000, 4096)]


HEADS = dict(large_heads())


@pytest.mark.parametrize("parts", HEADS.values(), ids=HEADS.keys())
async def test_head_larger_than_its_limit_is_refused(
    limited: ApiUnderTest, parts: list[bytes]
) -> None:
    async with connected(limited.url) as client:
        taken = await client.send_all(parts)
        answer = await client.read_answer()
        # A client that never stops sending may not come to read its answer.
        if sum(map(len, parts)) < MOST_TAKEN or answer.status:
            assert answer.status == 431
            assert "VOLARY_HTTP_HEAD_BYTES" in answer.text
            assert "16384 bytes" in answer.text
    assert taken < MOST_TAKEN


async def test_more_headers_than_their_limit_are_refused(limited: ApiUnderTest) -> None:
    most = [f"x-{number}: y" for number in range(LIMITS.headers - 1)]  # and the host
    async with connected(limited.url) as client:
        await client.send(head_of("/healthz", *most, method="GET"))
        assert (await client.read_answer()).status == 200
        await client.send(head_of("/healthz", *most, "x-more: y", method="GET"))
        answer = await client.read_answer()
    assert answer.status == 431
    assert "VOLARY_HTTP_HEADERS" in answer.text


async def test_trailers_without_an_end_are_refused(limited: ApiUnderTest) -> None:
    head = head_of(PATH, "content-type: application/proto", "transfer-encoding: chunked")
    async with connected(limited.url) as client:
        taken = await client.send_all(
            [head, b"1\r\nx\r\n0\r\n", *repeat(b"x-y: " + b"z" * 4000 + b"\r\n", 20_000)]
        )
    assert taken < MOST_TAKEN
    await until(lambda: len(limited.connections) == 0, "the connection is closed")


async def test_body_that_goes_on_after_its_answer_is_cut(limited: ApiUnderTest) -> None:
    head = head_of("/nowhere", "transfer-encoding: chunked")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    async with connected(limited.url) as client:
        taken = await client.send_all([head, *repeat(chunk, 2000)])
    assert taken < 4 * MOST_TAKEN


async def test_requests_that_are_half_sent_are_ended(limited: ApiUnderTest) -> None:
    halves = [b"", b"POST", head_of(PATH)[:-2], HEALTH + b"GET /he", b"\r\n"]
    async with AsyncExitStack() as clients:
        opened = [await clients.enter_async_context(connected(limited.url)) for _ in halves]
        for client, half in zip(opened, halves, strict=True):
            await client.send(half)
        output = [await client.read_to_end() for client in opened]
    assert all(b" 408 " in each and b"VOLARY_HTTP_HEAD_SECONDS" in each for each in output)
    assert output[3].startswith(b"HTTP/1.1 200")
    await until(lambda: len(limited.connections) == 0, "all are closed")


async def test_head_that_comes_byte_by_byte_is_ended(limited: ApiUnderTest) -> None:
    async with connected(limited.url) as client, asyncio.TaskGroup() as tasks:
        await client.send(b"POST /")
        reading = tasks.create_task(client.read_answer())
        while not reading.done():
            await client.send(b"x")
            await asyncio.sleep(0.02)
    assert reading.result().status == 408


@pytest.mark.parametrize("path", [PATH, "/flyteidl2.workflow.RunService/WatchRunDetails"])
async def test_body_that_does_not_come_is_ended(limited: ApiUnderTest, path: str) -> None:
    kind = "application/proto" if path == PATH else "application/connect+proto"
    async with connected(limited.url) as client:
        await client.send(head_of(path, f"content-type: {kind}", "content-length: 1000"))
        await client.send(b"\0\0\0")
        answer = await client.read_answer()
    assert answer.status == 408
    assert "VOLARY_HTTP_BODY_SECONDS" in answer.text


async def test_body_that_keeps_coming_may_take_longer(limited: ApiUnderTest) -> None:
    parts, size = 40, 16 * 1024
    head = head_of(PATH, "content-type: application/proto", f"content-length: {parts * size}")
    async with connected(limited.url) as client:
        await client.send(head)
        for _ in range(parts):  # for two seconds, at five times the rate that is asked for
            assert await client.send(b"x" * size)
            await asyncio.sleep(0.05)
        answer = await client.read_answer()
    assert answer.status == 400  # it was read to its end, and names no run
    assert "run_id" in answer.text


async def test_connections_from_one_address_are_bounded(limited: ApiUnderTest) -> None:
    async with AsyncExitStack() as clients:
        for _ in range(LIMITS.connections_per_address):
            await clients.enter_async_context(connected(limited.url))
        async with connected(limited.url) as one_more:
            answer = await one_more.read_answer()
        assert answer.status == 503
        assert "VOLARY_HTTP_CONNECTIONS_PER_ADDRESS" in answer.text
        async with connected(limited.url, source="127.0.0.2") as other:
            await other.send(HEALTH)
            assert (await other.read_answer()).status == 200
    await until(lambda: len(limited.connections) == 0, "all are closed")
    async with connected(limited.url) as client:
        await client.send(HEALTH)
        assert (await client.read_answer()).status == 200


async def test_connections_in_all_are_bounded(limited: ApiUnderTest) -> None:
    async with AsyncExitStack() as clients:
        for number in range(LIMITS.connections):
            source = f"127.0.0.{2 + number % 3}"
            await clients.enter_async_context(connected(limited.url, source=source))
        async with connected(limited.url) as one_more:
            answer = await one_more.read_answer()
    assert answer.status == 503
    assert "VOLARY_HTTP_CONNECTIONS)" in answer.text


async def test_requests_far_ahead_of_their_answers_are_refused(limited: ApiUnderTest) -> None:
    body = WatchRunsRequest(project_id=project_id()).SerializeToString()
    envelope = b"\0" + len(body).to_bytes(4, "big") + body
    watch = head_of(
        "/flyteidl2.workflow.RunService/WatchRuns",
        "content-type: application/connect+proto",
        f"content-length: {len(envelope)}",
    )
    async with connected(limited.url) as client:
        await client.send(watch + envelope + HEALTH * 200)
        await client.read_to_end()
    await until(lambda: len(limited.connections) == 0, "the connection is closed")


async def test_few_requests_ahead_of_their_answers_are_answered_in_turn(
    limited: ApiUnderTest,
) -> None:
    async with connected(limited.url) as client:
        await client.send(HEALTH * 20)
        for _ in range(20):
            assert (await client.read_answer()).status == 200


async def test_stream_outlives_every_deadline(limited: ApiUnderTest) -> None:
    watched = limited.runs.watch_runs(WatchRunsRequest(project_id=project_id()))
    await anext(watched)
    async with connected(limited.url) as client:
        assert (await client.read_answer()).status == 408  # deadlines have passed
    await limited.runs.create_run(create_run())
    async with asyncio.timeout(30):
        assert (await anext(watched)).runs
    await watched.aclose()
    details = await limited.runs.get_run_details(GetRunDetailsRequest(run_id=run_id()))
    assert details.details.action.id.run.name == "r1"
