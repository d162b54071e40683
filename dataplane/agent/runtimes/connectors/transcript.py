"""Log of an attempt that a connector runs: messages of the agent and of the connector."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from dataplane.agent.core import link_limits
from dataplane.agent.runtimes.connectors import connector_limits
from shared.formats.logs import encode_line
from shared.kit.clock import Clock
from shared.kit.gzip import compress
from shared.model.logs import LogChunk, LogLine, Originator


class Transcript:
    """Log lines in memory; followers are notified of each line, and of the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[LogLine] = []
        self._ended = False
        self._update = asyncio.Condition()

    @property
    def is_empty(self) -> bool:
        return not self._lines

    async def say(self, text: str) -> None:
        """Append a line, unless it repeats the last one or the log is full."""
        text = text.strip()
        if not text or len(self._lines) >= connector_limits.LOG_LINES:
            return
        if self._lines and self._lines[-1].text == text:
            return
        self._lines.append(LogLine(self._clock.now(), text, Originator.SYSTEM))
        async with self._update:
            self._update.notify_all()

    async def end(self) -> None:
        self._ended = True
        async with self._update:
            self._update.notify_all()

    async def follow(self, after_line: int) -> AsyncIterator[LogChunk]:
        while True:
            async with self._update:
                await self._update.wait_for(partial(self._has_lines, after_line))
            lines = self._lines[after_line : after_line + link_limits.CHUNK_LINES]
            if not lines:
                return
            after_line += len(lines)
            yield LogChunk(lines, after_line)

    def _has_lines(self, after_line: int) -> bool:
        return self._ended or len(self._lines) > after_line

    def pack(self) -> bytes:
        """Return the lines gzip'd, in the format of an uploaded log."""
        return compress(b"".join(encode_line(line) for line in self._lines))
