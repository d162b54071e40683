"""Raw HTTP client: sends bytes to a socket and reads the answers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is 0 if the connection was closed without an answer."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class RawHttp:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> bool:
        """Send; whether the other side still took it."""
        try:
            self.writer.write(data)
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self.writer.drain()
        except ConnectionError:
            return False
        return not self.reader.at_eof()

    async def send_all(self, parts: Iterable[bytes]) -> int:
        """Send part by part until the other side takes no more; return how many bytes it took."""
        count = 0
        for part in parts:
            if not await self.send(part):
                break
            count += len(part)
            await asyncio.sleep(0)
        return count

    async def read_answer(self) -> Answer:
        """Read one answer, or the end of the connection."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                return Answer(int(head.split()[1]), (await self._read_body(head)).decode())
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0, "")

    async def read_to_end(self) -> bytes:
        """Read until the connection is closed."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await self.reader.read()
        except ConnectionError:
            return b""

    async def _read_body(self, head: str) -> bytes:
        if "content-length:" in head:
            length = int(head.split("content-length:")[1].split("\r\n", maxsplit=1)[0])
            return await self.reader.readexactly(length)
        if "transfer-encoding: chunked" not in head:
            return b""
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return body


@asynccontextmanager
async def connected(
    url: str, *, source: str = "127.0.0.1", trust: ssl.SSLContext | None = None
) -> AsyncIterator[RawHttp]:
    """Connect to an HTTP server from an address of loopback, by TLS if ``trust`` is given."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port, local_addr=(source, 0), ssl=trust
    )
    try:
        yield RawHttp(reader, writer)
    finally:
        writer.transport.abort()


def head_of(
    path: str, *headers: str, method: str = "POST", host: str | None = "localhost"
) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        *([f"host: {host}"] if host is not None else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
