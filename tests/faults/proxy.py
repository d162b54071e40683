"""
TCP proxy that injects network faults: delay, loss, connection resets, refused connections.

It can cut a connection after a number of bytes, or after a number of HTTP/2 frames, that is
between any two frames of the link. It can also do what TCP prevents: duplicate a message of
the link, or swap it with the next one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.frames import PREFACE, Disorder, Frames

_CHUNK = 64 * 1024
_SEED = 1  # of whose message is repeated

Target = tuple[str, int] | Path
"""A host and a port, or a Unix socket."""


@dataclass(eq=False, slots=True)
class _Pair:
    """A client's connection and ours to the target."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter

    def abort(self) -> None:
        for writer in (self.client, self.target):
            writer.transport.abort()


class Proxy:
    def __init__(self, target: Target, tasks: asyncio.TaskGroup) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0  # seconds, each way
        self.swallows_up = False  # what the client says is not heard
        self.swallows_down = False
        self.refuses = False
        self.cut_after_bytes = 0  # of each direction of a new connection; 0: never
        self.cut_after_frames = 0
        self.repeats = 0.0  # the share of a new connection's messages that come twice
        self.swaps = 0.0  # the share that come after the next one
        self._chance = Random(_SEED)
        self._pairs: set[_Pair] = set()
        self._tasks = tasks

    def cut(self) -> None:
        """Reset all connections."""
        for pair in list(self._pairs):
            pair.abort()

    def heal(self) -> None:
        """Stop injecting faults; connections that lost data are cut."""
        lossy = bool(self.swallows_up or self.swallows_down or self.repeats or self.swaps)
        self.swallows_up = self.swallows_down = self.refuses = False
        self.delay = self.repeats = self.swaps = 0.0
        self.cut_after_bytes = self.cut_after_frames = 0
        if lossy:
            self.cut()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                yield
            finally:
                self.refuses = True
                self.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self._tasks.create_task(self._serve(reader, writer), name="proxy")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, up_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, up_writer, pair, is_up=True))
                tasks.create_task(self._pass_on(up_reader, writer, pair, is_up=False))
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: _Pair,
        *,
        is_up: bool,
    ) -> None:
        """Pass bytes on until either side ends, or the cut that this connection is due."""
        preface = PREFACE if is_up else 0
        frames = Frames(preface)
        disorder = None
        if self.repeats or self.swaps:
            disorder = Disorder(preface, self._chance, repeats=self.repeats, swaps=self.swaps)
        most_frames, bytes_left = self.cut_after_frames, self.cut_after_bytes
        try:
            while data := await reader.read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if disorder is not None:
                    data = disorder.feed(data)
                kept = len(data)
                if most_frames:
                    kept = frames.feed(data, most_frames)
                if bytes_left:
                    kept = min(kept, bytes_left)
                    bytes_left -= kept
                if not (self.swallows_up if is_up else self.swallows_down):
                    writer.write(data[:kept])
                    await writer.drain()
                if kept < len(data) or (self.cut_after_bytes and not bytes_left):
                    break
        except OSError:
            pass  # one side has gone, and takes the other with it
        pair.abort()
