"""Limit the concurrent calls of one pod, so that a busy pod leaves capacity for the others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.errors import Code, PodCallRefusedError


@dataclass(slots=True)
class _PodUsage:
    calls: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(proxy_limits.CALLS_OF_POD)
    )
    present: int = 0  # calls in progress or waiting
    streams: int = 0


class PodLimits:
    """Concurrency limits per pod; pods without calls or streams use no memory."""

    def __init__(self) -> None:
        self._lines: dict[str, _PodUsage] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def call(self, pod: str) -> AsyncIterator[None]:
        """Acquire one of the pod's call slots, waiting for it in order of arrival."""
        with self._line(pod) as line:
            if line.present >= proxy_limits.WAITING_OF_POD:
                raise PodCallRefusedError(
                    Code.RESOURCE_EXHAUSTED,
                    f"{line.present} calls of this task are waiting already; send them more slowly",
                )
            line.present += 1
            try:
                await self._wait(line)
                try:
                    yield
                finally:
                    line.calls.release()
            finally:
                line.present -= 1

    @asynccontextmanager
    async def stream(self, pod: str) -> AsyncIterator[None]:
        """Count one of the pod's streams."""
        with self._line(pod) as line:
            if line.streams >= proxy_limits.STREAMS_OF_POD:
                raise PodCallRefusedError(
                    Code.RESOURCE_EXHAUSTED,
                    f"this task has {line.streams} streams open already; close some of them",
                )
            line.streams += 1
            try:
                yield
            finally:
                line.streams -= 1

    async def _wait(self, line: _PodUsage) -> None:
        try:
            async with asyncio.timeout(proxy_limits.LINE_WITHIN.total_seconds()):
                await line.calls.acquire()
        except TimeoutError as error:
            raise PodCallRefusedError(
                Code.UNAVAILABLE, "too many calls of this task are in progress; try again"
            ) from error

    @contextmanager
    def _line(self, pod: str) -> Iterator[_PodUsage]:
        line = self._lines.setdefault(pod, _PodUsage())
        try:
            yield line
        finally:
            if not line.present and not line.streams:
                self._lines.pop(pod, None)
