"""
Simulates the stream between an agent and a replica: ordered frames with delays, until it breaks.

It can be cut at any frame, and each direction can swallow frames, as a firewall does that has
dropped its connection state. The peers notice a break late, or only by a timeout. It can also do
what gRPC never does: deliver a frame twice, or after later ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Generic, TypeVar

from shared.idl.agent.v1 import link_pb2
from tests.simulation.loop import SimLoop

F = TypeVar("F")


class WireBrokenError(Exception):
    """The connection is broken; gRPC's UNAVAILABLE."""


class _Direction(Generic[F]):
    """One direction of a stream. ``None`` in the queue is its end."""

    def __init__(self, loop: SimLoop, chance: Random, delay: float) -> None:
        self.received: asyncio.Queue[F | None] = asyncio.Queue()
        self.sent = 0
        self.swallows = False
        self.is_cut = False
        self.repeats = 0.0  # the share of frames delivered twice
        self.strays = 0.0  # the share of frames that later ones overtake
        self._loop = loop
        self._chance = chance
        self._delay = delay
        self._arrives = 0.0

    def put(self, frame: F) -> None:
        self.sent += 1
        if self.swallows or self.is_cut:
            return
        self._loop.call_in_world(self._astray() or self._next(), self._arrive, frame)
        if self.repeats and self._chance.random() < self.repeats:
            self._loop.call_in_world(self._astray() or self._next(), self._arrive, frame)

    def close(self) -> None:
        """Close it gracefully: frames sent before are delivered."""
        self._loop.call_in_world(self._next(), self._arrive, None)

    def _next(self) -> float:
        late = self._loop.time() + self._chance.uniform(0.0005, self._delay)
        self._arrives = max(self._arrives, late)
        return self._arrives

    def _astray(self) -> float | None:
        """Draw the arrival of a frame that others overtake; None: this one stays in order."""
        if not self.strays or self._chance.random() >= self.strays:
            return None
        return self._loop.time() + self._chance.uniform(0.0005, 5 * self._delay)

    def _arrive(self, frame: F | None) -> None:
        if not (self.swallows or self.is_cut):
            self.received.put_nowait(frame)


class Wire:
    """One call of ``Connect``. ``on_break`` cancels the handler, as gRPC does."""

    def __init__(self, loop: SimLoop, chance: Random, *, delay: float, token: str) -> None:
        self.up: _Direction[link_pb2.AgentFrame] = _Direction(loop, chance, delay)
        self.down: _Direction[link_pb2.ControlFrame] = _Direction(loop, chance, delay)
        self.on_break: Callable[[], object] = lambda: None
        self.kind: Counter[tuple[bytes, int, int]] = Counter()  # reports of this session
        self.cut_after = 0  # frames in both directions; 0: none
        self.is_disordered = False  # whether it ever was
        self._token = token
        self._loop = loop
        self._chance = chance
        self._agent_is_gone = False
        self._is_broken = False  # whether the agent has noticed a break

    @property
    def has_quota(self) -> bool:
        return not (self.up.is_cut and self.down.is_cut)

    # The agent's end.

    async def write(self, frame: link_pb2.AgentFrame) -> None:
        await asyncio.sleep(0)
        if self._is_broken:
            raise WireBrokenError
        self.up.put(frame)
        self._count()
        for report in frame.reports.reports:
            attempt = report.attempt
            self.kind[attempt.action_id, attempt.number, report.version] += 1

    async def frames(self) -> AsyncIterator[link_pb2.ControlFrame]:
        while (frame := await self.down.received.get()) is not None:
            yield frame
        if self._is_broken:
            raise WireBrokenError

    def hang_up(self) -> None:
        """Cancel the call at the agent's end."""
        if not self._agent_is_gone:
            self._agent_is_gone = True
            self._notice_later(self._break_at_replica, swallowed=self.up.swallows)

    # The replica's end: the part of a servicer's context that the link service uses.

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"),)

    async def read(self) -> object:
        frame = await self.up.received.get()
        return None if frame is None else frame

    async def write_down(self, frame: link_pb2.ControlFrame) -> None:
        await asyncio.sleep(0)
        self.down.put(frame)
        self._count()

    def end(self) -> None:
        """End the call, as a handler that returns: the agent receives the sent frames, then the end."""
        self.down.close()

    # Faults.

    def cut(self) -> None:
        """Break it; each side notices later, and frames in flight are lost."""
        if not self.has_quota:
            return
        silent_up, silent_down = self.up.swallows, self.down.swallows
        self.up.is_cut = self.down.is_cut = True
        self._notice_later(self._break_at_replica, swallowed=silent_up)
        self._notice_later(self._break_at_agent, swallowed=silent_down)

    def disorder(self, *, repeats: float = 0.0, strays: float = 0.0) -> None:
        """Deliver that share of further frames twice or late; with neither, in order."""
        self.is_disordered = self.is_disordered or bool(repeats or strays)
        for sub_queue in (self.up, self.down):
            sub_queue.repeats, sub_queue.strays = repeats, strays

    def _count(self) -> None:
        if self.cut_after and self.up.sent + self.down.sent >= self.cut_after:
            self.cut_after = 0
            self.cut()

    def _notice_later(self, notification: Callable[[], None], *, swallowed: bool) -> None:
        if not swallowed:  # a swallowed break is noticed by a timeout only
            self._loop.call_in_world(self._loop.time() + self._chance.uniform(0, 0.5), notification)

    def _break_at_agent(self) -> None:
        self._is_broken = True
        self.down.received.put_nowait(None)

    def _break_at_replica(self) -> None:
        self.on_break()


class Context:
    """The replica's end as a gRPC servicer context."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.invocation_metadata = wire.invocation_metadata
        self.read = wire.read
        self.write = wire.write_down
