"""
Compares ASGI servers for the public API: uvicorn, hypercorn and granian.

``python -m benchmarks.asgi_servers`` measures, for each that is installed, the real API app
with stub services: Enqueue calls over keep-alive connections, then thousands of idle watch
streams, then Enqueue again while these are open, then how fast closed streams are released.
The client writes prepared bytes, so that mostly the server is measured; both share the
machine.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from flyteidl2.actions.actions_service_pb2 import (
    EnqueueRequest,
    EnqueueResponse,
    WatchForUpdatesRequest,
    WatchForUpdatesResponse,
)
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from benchmarks.api_calls import make_request
from controlplane.api.interceptors import Interceptors
from controlplane.api.metrics import CallMetrics
from controlplane.api.server import PublicApi
from controlplane.api.wire import BoundedGzip
from controlplane.authn.anonymous import Anonymous
from controlplane.core.callers import Caller
from controlplane.web.app import make_application
from controlplane.web.health import Health
from controlplane.web.origins import OriginCheck
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName

_APPLICATION = "benchmarks.asgi_servers:make_door"
SERVERS = ("uvicorn", "hypercorn", "granian")
_SERVICE = "/flyteidl2.actions.ActionsService"
_CONNECTIONS = 32


class _NothingBehind:
    async def enqueue(self, _caller: Caller, _request: EnqueueRequest) -> EnqueueResponse:
        return EnqueueResponse()

    async def watch_for_updates(
        self, _caller: Caller, _request: WatchForUpdatesRequest
    ) -> AsyncIterator[WatchForUpdatesResponse]:
        sentinel = WatchForUpdatesResponse()
        sentinel.control_message.sentinel = True
        yield sentinel
        await asyncio.Event().wait()

    def __getattr__(self, name: str) -> object:
        return self.enqueue

    async def ping(self) -> None: ...


def make_app() -> Any:
    metrics = CollectorRegistry()
    nothing = _NothingBehind()
    public = PublicApi(
        {"flyteidl2.actions.ActionsService": nothing},
        Interceptors(Anonymous(OrgName("acme")), CallMetrics(metrics), SystemClock()),
    )
    return make_application(
        public=public,
        routes=Health(nothing, metrics).routes(),
        origin_check=OriginCheck("http://localhost"),
    )


def _command(server: str, port: int) -> Sequence[str]:
    match server:
        case "uvicorn":
            options = ["--factory", "--log-level", "error", "--lifespan", "off"]
        case "hypercorn":
            address = ["-b", f"127.0.0.1:{port}", "--log-level", "error"]
            return [server, "-k", "uvloop", "--backlog", "4096", *address, f"{_APPLICATION}()"]
        case _:
            options = ["--factory", "--no-log", "--interface", "asginl", "--loop", "uvloop"]
    return [server, *options, "--backlog", "4096", "--port", str(port), _APPLICATION]


def _request(method: str, body: bytes, content_type: str, *more: str) -> bytes:
    head = [
        f"POST {_SERVICE}/{method} HTTP/1.1",
        "host: 127.0.0.1",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
        "connect-protocol-version: 1",
        "x-request-id: flytesnacks-development-r1-a0-1a2b",
        *more,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _enqueue() -> bytes:
    body = BoundedGzip().compress(make_request().SerializeToString())
    return _request(
        "Enqueue",
        body,
        "application/proto",
        "content-encoding: gzip",
        "accept-encoding: gzip,identity",
        "connect-timeout-ms: 5000",
    )


def _watch() -> bytes:
    request = WatchForUpdatesRequest(parent_action_id=make_request().action.action_id)
    body = request.SerializeToString()
    return _request(
        "WatchForUpdates", b"\0" + len(body).to_bytes(4, "big") + body, "application/connect+proto"
    )


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Read a response with Content-Length or chunked encoding; return its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(head.decode())
    if b"content-length:" in head:
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return await reader.readexactly(length)
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def _call(port: int, calls: int) -> tuple[float, float, float]:
    """Send unary calls; return calls per second, and p50 and p99 latency in milliseconds."""
    spent: list[float] = []
    request = _enqueue()

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(calls // _CONNECTIONS):
            began = perf_counter()
            writer.write(request)
            await _answer(reader)
            spent.append(perf_counter() - began)
        writer.close()

    began = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CONNECTIONS):
            tasks.create_task(one_connection())
    rate = len(spent) / (perf_counter() - began)
    spent.sort()
    return rate, spent[len(spent) // 2] * 1000, spent[len(spent) * 99 // 100] * 1000


async def _open_watches(port: int, count: int) -> list[asyncio.StreamWriter]:
    writers = []
    request = _watch()
    turns = asyncio.Semaphore(100)

    async def one() -> None:
        async with turns:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            await reader.read(1)
            writers.append(writer)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
    return writers


async def _gauge(port: int) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    text = (await _answer(reader)).decode()
    writer.close()
    lines = [line for line in text.splitlines() if line.startswith("volary_api_streams{")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds used by a process and its children."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat.parent.name == str(pid) or fields[1] == str(pid):
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    """Return the resident memory of a process and of its children."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        if int(facts["Pid"]) == pid or int(facts["PPid"]) == pid:
            total += int(facts.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


async def _measure(server: str, port: int, *, calls: int, watches: int) -> Sequence[str]:
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", *_command(server, port))
    try:
        await _until_open(port)
        await _call(port, calls // 4)  # warm up
        used = _cpu_seconds(child.pid)
        alone = await _call(port, calls)
        used = (_cpu_seconds(child.pid) - used) / calls * 1e6
        before = _megabytes(child.pid)
        began = perf_counter()
        writers = await _open_watches(port, watches)
        opened = perf_counter() - began
        each = (_megabytes(child.pid) - before) * 1024 / watches
        beside = await _call(port, calls)
        began = perf_counter()
        for writer in writers:
            writer.close()
        while await _gauge(port):  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)
        release = perf_counter() - began
    finally:
        child.terminate()
        await child.wait()
    return (
        f"{server} {version(server)}",
        f"{alone[0]:.0f}",
        f"{alone[1]:.1f} / {alone[2]:.1f}",
        f"{used:.0f}",
        f"{watches / opened:.0f}",
        f"{each:.0f}",
        f"{beside[0]:.0f}",
        f"{beside[1]:.1f} / {beside[2]:.1f}",
        f"{release:.1f}",
    )


async def _until_open(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def main(calls: int, watches: int) -> None:
    table = Table(
        "server",
        "calls/s",
        "p50/p99 ms",
        "µs CPU each",
        "watches opened/s",
        "kB each",
        "calls/s beside them",
        "p50/p99 ms",
        "let go of all, s",
        title=f"{calls} Enqueue calls over {_CONNECTIONS} connections; {watches} idle watches",
    )
    for port, server in enumerate(SERVERS, start=21_000 + os.getpid() % 10_000):
        try:
            version(server)
        except PackageNotFoundError:
            continue
        table.add_row(*await _measure(server, port, calls=calls, watches=watches))
    Console(width=140).print(table)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=8_000)
    arguments.add_argument("--watches", type=int, default=2_000)
    wanted = arguments.parse_args()
    uvloop.run(main(wanted.calls, wanted.watches))
