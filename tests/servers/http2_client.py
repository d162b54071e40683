"""An HTTP/2 client for tests, which can break the protocol's rules."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

_TIMEOUT_SECONDS = 30.0


@dataclass(slots=True)
class Http2Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    has_ended: bool = False
    reset: int | None = None  # the code


@dataclass(slots=True)
class Http2Client:
    """One connection; ``h2`` may be used to send what this class does not."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    h2: H2Connection
    acknowledges: bool = True  # what it has read
    answers: dict[int, Http2Answer] = field(default_factory=dict)
    goaway: int | None = None  # its code

    async def request(
        self,
        path: str,
        *headers: tuple[str, str],
        method: str = "GET",
        authority: str = "localhost",
        ends: bool = True,
    ) -> int:
        """Send the head of a request; return its stream."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":scheme", "https"),
            (":authority", authority),
            (":path", path),
        ]
        self.h2.send_headers(stream, [*pseudo, *headers], end_stream=ends)
        self.answers[stream] = Http2Answer()
        await self.flush()
        return stream

    async def flush(self) -> None:
        """Send what h2 has to send; ignore a connection that the server has closed."""
        try:
            self.writer.write(self.h2.data_to_send())
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self.writer.drain()
        except ConnectionError:
            pass

    async def read_answer(self, stream: int) -> Http2Answer:
        """Read until the stream has ended or was reset, or the connection is closed."""
        answer = self.answers[stream]
        while not answer.has_ended and answer.reset is None and await self.receive():
            pass
        return answer

    async def read_to_end(self) -> None:
        """Read until the connection is closed."""
        while await self.receive():
            pass

    async def receive(self) -> Sequence[Event]:
        """Read once; return what came, nothing at the end of the connection."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                data = await self.reader.read(65536)
        except (ConnectionError, ssl.SSLError):
            return []
        if not data:
            return []
        try:
            events = self.h2.receive_data(data)
        except ProtocolError:
            return []
        for event in events:
            self._note(event)
        await self.flush()
        return events or await self.receive()

    def _note(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        match event:
            case ResponseReceived():
                pairs = [(_text(name), _text(value)) for name, value in event.headers or []]
                answer.headers.update(pairs)
                answer.status = int(answer.headers[":status"])
            case DataReceived():
                answer.body += event.data or b""
                if self.acknowledges and event.stream_id:
                    length = event.flow_controlled_length or 0
                    self.h2.acknowledge_received_data(length, event.stream_id)
            case StreamEnded():
                answer.has_ended = True
            case StreamReset():
                answer.reset = int(event.error_code or 0)
            case _:
                pass


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


@asynccontextmanager
async def http2_connected(
    url: str, trust: ssl.SSLContext, *, source: str = "127.0.0.1", acknowledges: bool = True
) -> AsyncIterator[Http2Client]:
    """Connect by TLS and HTTP/2; the client checks nothing of what it sends."""
    address = urlsplit(url)
    trust.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port, local_addr=(source, 0), ssl=trust
    )
    configuration = H2Configuration(
        client_side=True,
        header_encoding="utf-8",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    client = Http2Client(reader, writer, H2Connection(configuration), acknowledges)
    client.h2.initiate_connection()
    await client.flush()
    try:
        yield client
    finally:
        writer.transport.abort()
