"""A proxy on whose line bytes are altered, as on a broken network, before they reach a store."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.servers.tcp import serving

_MIB = 1024 * 1024
_FIRST = _MIB  # after so many bytes on a connection; what is sent to a signer has fewer


class Damaging:
    """Answers ``CONNECT``; flips a bit in the next ``left`` bodies of ``size`` bytes."""

    def __init__(self, left: int, size: int) -> None:
        self.left = left
        self._size = size
        self.address = ""

    async def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        host, _, port = line.rpartition(":")
        there, here = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(reader, here, damage=True))
            both.create_task(self._pass(there, writer, damage=False))

    async def _pass(self, source: StreamReader, target: StreamWriter, *, damage: bool) -> None:
        passed = -_FIRST
        try:
            while chunk := await source.read(64 * 1024):
                passed += len(chunk)
                if damage and self.left and passed >= 0:
                    self.left -= 1
                    passed -= self._size
                    chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
                target.write(chunk)
                await target.drain()
        except ConnectionError:
            pass  # whoever left need not be told
        finally:
            target.close()


@asynccontextmanager
async def damaging(left: int, *, size: int) -> AsyncIterator[Damaging]:
    proxy = Damaging(left, size)
    async with serving(proxy.answer) as (host, port):
        proxy.address = f"http://{host}:{port}"
        yield proxy
