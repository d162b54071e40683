"""
A stream between an agent and a replica: frames in order, each with its delay, until it breaks.

It can be cut at any frame, and each direction can swallow what is said into it, as a
firewall does that has forgotten the connection. Who waits notices late, or by silence.
It can also do what gRPC never does: bring a frame twice, or after those that were said later.
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
    """The connection is gone; gRPC says UNAVAILABLE."""


class _Lane(Generic[F]):
    """One direction. ``None`` in the queue is its end."""

    def __init__(self, loop: SimLoop, chance: Random, delay: float) -> None:
        self.heard: asyncio.Queue[F | None] = asyncio.Queue()
        self.sent = 0
        self.swallows = False
        self.is_cut = False
        self.repeats = 0.0  # the share of frames that come twice
        self.strays = 0.0  # the share that others overtake
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
        """End it properly: what was said before is heard."""
        self._loop.call_in_world(self._next(), self._arrive, None)

    def _next(self) -> float:
        late = self._loop.time() + self._chance.uniform(0.0005, self._delay)
        self._arrives = max(self._arrives, late)
        return self._arrives

    def _astray(self) -> float | None:
        """Draw when a frame comes that others overtake; None: this one keeps its place."""
        if not self.strays or self._chance.random() >= self.strays:
            return None
        return self._loop.time() + self._chance.uniform(0.0005, 5 * self._delay)

    def _arrive(self, frame: F | None) -> None:
        if not (self.swallows or self.is_cut):
            self.heard.put_nowait(frame)


class Wire:
    """One call of ``Connect``. ``on_break`` is what gRPC does to a handler: it is cancelled."""

    def __init__(self, loop: SimLoop, chance: Random, *, delay: float, token: str) -> None:
        self.up: _Lane[link_pb2.AgentFrame] = _Lane(loop, chance, delay)
        self.down: _Lane[link_pb2.ControlFrame] = _Lane(loop, chance, delay)
        self.on_break: Callable[[], object] = lambda: None
        self.kind: Counter[tuple[bytes, int, int]] = Counter()  # reports of this session
        self.cut_after = 0  # frames in both directions; 0: none
        self.is_disordered = False  # at some time it was
        self._token = token
        self._loop = loop
        self._chance = chance
        self._agent_is_gone = False
        self._is_broken = False  # as far as the agent has noticed

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
        while (frame := await self.down.heard.get()) is not None:
            yield frame
        if self._is_broken:
            raise WireBrokenError

    def hang_up(self) -> None:
        """The agent is through with it."""
        if not self._agent_is_gone:
            self._agent_is_gone = True
            self._notice_later(self._break_at_replica, swallowed=self.up.swallows)

    # The replica's end: a servicer's context, as far as the door uses it.

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"),)

    async def read(self) -> object:
        frame = await self.up.heard.get()
        return None if frame is None else frame

    async def write_down(self, frame: link_pb2.ControlFrame) -> None:
        await asyncio.sleep(0)
        self.down.put(frame)
        self._count()

    def end(self) -> None:
        """The handler has returned: the agent hears what was said, then the end."""
        self.down.close()

    # What happens to it.

    def cut(self) -> None:
        """Break it; each side notices by and by. What is under way is lost."""
        if not self.has_quota:
            return
        silent_up, silent_down = self.up.swallows, self.down.swallows
        self.up.is_cut = self.down.is_cut = True
        self._notice_later(self._break_at_replica, swallowed=silent_up)
        self._notice_later(self._break_at_agent, swallowed=silent_down)

    def disorder(self, *, repeats: float = 0.0, strays: float = 0.0) -> None:
        """From now on bring that share of frames twice, or late; with neither, in order."""
        self.is_disordered = self.is_disordered or bool(repeats or strays)
        for sub_queue in (self.up, self.down):
            sub_queue.repeats, sub_queue.strays = repeats, strays

    def _count(self) -> None:
        if self.cut_after and self.up.sent + self.down.sent >= self.cut_after:
            self.cut_after = 0
            self.cut()

    def _notice_later(self, notification: Callable[[], None], *, swallowed: bool) -> None:
        if not swallowed:  # else nothing is heard of it, and only silence tells
            self._loop.call_in_world(self._loop.time() + self._chance.uniform(0, 0.5), notification)

    def _break_at_agent(self) -> None:
        self._is_broken = True
        self.down.heard.put_nowait(None)

    def _break_at_replica(self) -> None:
        self.on_break()


class Context:
    """gRPC's name for the replica's end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.invocation_metadata = wire.invocation_metadata
        self.read = wire.read
        self.write = wire.write_down
