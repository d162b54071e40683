"""A control plane played by the test: it notes what reaches it, and answers as told."""

import asyncio
import gzip
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from google.protobuf.message import Message

END_OF_STREAM = struct.pack(">BI", 2, 2) + b"{}"


@dataclass(slots=True)
class Seen:
    rpc: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> bytes:
        """The body as it was before it was packed."""
        return gzip.decompress(self.body)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Control:
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)  # by the method's name

    def say(self, method: str, message: Message) -> None:
        """Answer a call with a message."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=message.SerializeToString(), content_type="application/proto")

        self.answers[method] = answer

    def stream(
        self, method: str, envelopes: Callable[[], AsyncIterator[bytes]], *, end: bool = True
    ) -> None:
        """Answer a call with a stream; without ``end``, break the connection after it."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-type": "application/connect+proto"})
            await response.prepare(request)
            async for envelope in envelopes():
                await response.write(envelope)
            if end:
                await response.write(END_OF_STREAM)
                await response.write_eof()
            elif request.transport is not None:
                request.transport.abort()
            return response

        self.answers[method] = answer


def envelope(message: Message) -> bytes:
    body = message.SerializeToString()
    return struct.pack(">BI", 0, len(body)) + body


@asynccontextmanager
async def played() -> AsyncIterator[Control]:
    control = Control()

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        control.seen.append(
            Seen(name, {n.lower(): v for n, v in request.headers.items()}, await request.read())
        )
        method = name.rpartition("/")[2]
        if method not in control.answers:
            return web.json_response({"code": "internal", "message": "not told"}, status=500)
        return await control.answers[method](request)

    application = web.Application(client_max_size=2**26)
    application.router.add_post("/{service}/{method}", answer)
    runner = web.AppRunner(
        application,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        control.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield control
    finally:
        await runner.cleanup()


async def forever() -> None:
    """Wait for nothing, until cancelled."""
    await asyncio.Event().wait()
