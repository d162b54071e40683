"""
Follow the log of an attempt while it is being written.

One container is followed as a stream. Several are polled every second and merged: a line is
yielded once no earlier one can arrive, so that the order, and with it every line's number,
equals that of the log shipped in the end.
"""

import asyncio
import heapq
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from dataplane.agent.core import attempt_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes import runtime_limits
from dataplane.agent.runtimes.kubernetes.logs import (
    Source,
    as_log_line,
    list_sources,
    read,
)
from shared.kit.clock import Clock
from shared.model.logs import LogLine

logger = logging.getLogger(__name__)

_LARGEST_PIECES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A snapshot of an attempt's log sources."""

    pods: Collection[Object]
    names: Sequence[str] | None  # of the pods whose logs count; None: all
    over: bool
    grows: bool  # more pods may come


class Tail:
    """Reads an attempt's log from the first line on; one instance per follower."""

    def __init__(
        self, kube: Kube, view: Callable[[], View], changed: asyncio.Event, clock: Clock
    ) -> None:
        self._kube = kube
        self._view = view
        self._changed = changed  # set whenever the view may have changed
        self._clock = clock
        self._read_up_to: dict[Source, str] = {}
        self._held: list[tuple[str, int, int, LogLine]] = []  # a heap of lines to reorder
        self._count = 0
        self._pieces = 1  # how many pieces one poll may read
        self._watermark = ""

    def rest(self) -> Sequence[LogLine]:
        """Return the buffered lines, once no more can arrive."""
        return [heapq.heappop(self._held)[3] for _ in range(len(self._held))]

    async def batches(self) -> AsyncGenerator[Sequence[LogLine], None]:
        """Yield lines as they arrive, until the attempt has ended."""
        while not (view := self._view()).over:
            self._changed.clear()
            all_sources = list_sources(view.pods, view.names, begun=False)
            if len(all_sources) == 1 and not view.grows:
                async with aclosing(self._stream(all_sources[0])) as batches:
                    async for batch in batches:
                        yield batch
            elif all_sources:
                batch = await self._observe(list_sources(view.pods, view.names, begun=True))
                if batch:
                    yield batch
            await self._pause()

    async def _stream(self, source: Source) -> AsyncGenerator[Sequence[LogLine], None]:
        after = self._read_up_to.get(source, "")
        try:
            async with aclosing(read(self._kube, source, after=after, follow=True)) as chunks:
                async for chunk in chunks:
                    lines = [line for line in chunk if line.timestamp > after]
                    if lines:
                        self._read_up_to[source] = lines[-1].timestamp
                        now = self._clock.now()
                        yield [as_log_line(source, line, now) for line in lines]
        except KubeError as error:
            _note(source, error)

    async def _observe(self, sources: Sequence[Source]) -> Sequence[LogLine]:
        """Read on from all sources; return the lines whose order is final."""
        complete_until = self._clock.now() - runtime_limits.LOG_DELAY
        complete = [f"{complete_until:%Y-%m-%dT%H:%M:%S.%f}000Z"]
        cut: list[Source] = []
        for index, source in enumerate(sources):
            is_ahead = self._read_up_to.get(source, "") > self._watermark
            if is_ahead and self._pieces > 1:
                continue  # a source with more to read
            if await self._read_piece(index, source):
                cut.append(source)
        complete += [self._read_up_to.get(source, "") for source in cut]
        self._pieces = min(2 * self._pieces, _LARGEST_PIECES) if cut else 1
        self._watermark = min(complete)
        ready: list[LogLine] = []
        while self._held and self._held[0][0] <= self._watermark:
            ready.append(heapq.heappop(self._held)[3])
        return ready

    async def _read_piece(self, index: int, source: Source) -> bool:
        """Read the next piece of one source; return whether more is available."""
        after = self._read_up_to.get(source, "")
        limit = runtime_limits.LOG_PIECE * self._pieces
        size = 0
        now = self._clock.now()
        chunks = read(self._kube, source, after=after, limit_bytes=limit)
        try:
            async with aclosing(chunks):
                async for lines in chunks:
                    for line in lines:
                        size += len(line.text.encode()) + len(line.timestamp) + 2
                        if line.timestamp > after:
                            self._count += 1
                            entry = as_log_line(source, line, now)
                            heapq.heappush(self._held, (line.timestamp, index, self._count, entry))
                    self._read_up_to[source] = max(after, lines[-1].timestamp)
        except KubeError as error:
            _note(source, error)
        return size > limit - 2 * attempt_limits.LINE_BYTES

    async def _pause(self) -> None:
        """Wait for a change of the attempt, at most until the next poll is due."""
        try:
            async with asyncio.timeout(runtime_limits.LOG_POLL.total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            pass  # the API sends no notification when a log grows


def _note(source: Source, error: KubeError) -> None:
    logger.debug(
        "log stream broke",
        extra={"pod": str(source.pod), "container": source.container, "detail": str(error)},
    )
