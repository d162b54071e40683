"""Tests of one session over a pipe whose other end the test plays."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from hypothesis import given, strategies as st

from dataplane.agent.core.session import extend_credit, greet, receive, tick
from dataplane.agent.link.stream import Stream
from shared.idl.agent.v1 import link_pb2
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.link_messages import (
    AgentMessage,
    Assignments,
    ControlMessage,
    DesiredState,
    Heartbeat,
    InventoryDecisions,
    Lease,
    Rejected,
    Stops,
    Welcome,
    Work,
)
from shared.model.link_session import State
from tests.fakes.clock import FakeClock
from tests.unit.agent.assignments import NOW, make_assignment
from tests.unit.agent.test_session import BEAT, HELLO, WELCOME


class FakePipe:
    """Both directions as queues; after ``stuck`` writes block."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[link_pb2.AgentFrame] = asyncio.Queue()
        self.coming: asyncio.Queue[link_pb2.ControlFrame | None] = asyncio.Queue()
        self.stuck = False

    async def write(self, frame: link_pb2.AgentFrame) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        self.sent.put_nowait(frame)

    async def frames(self) -> AsyncIterator[link_pb2.ControlFrame]:
        while (frame := await self.coming.get()) is not None:
            yield frame


class FakeSessionHandler:
    """Session handler that accepts everything, with a capacity of three."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.taken: list[Work] = []
        self.ended = False

    async def begin(self) -> Sequence[Lease]:
        return []

    async def welcome(self, welcome: Welcome) -> None: ...

    async def record_heartbeat(self, at: datetime) -> None: ...

    async def take(self, message: Work) -> None:
        self.taken.append(message)

    async def end_attempts(self) -> tuple[int, int]:
        return 0, 0

    def capacity(self) -> int:
        return 3

    def holding(self) -> tuple[int, int]:
        return 0, 0

    def due(self) -> Sequence[AgentMessage]:
        return []

    async def end(self) -> None:
        self.ended = True


def make_welcome(*, heartbeat_ms: int = 100) -> link_pb2.ControlFrame:
    return link_pb2.ControlFrame(welcome=link_pb2.Welcome(epoch=1, heartbeat_ms=heartbeat_ms))


LAST_INVENTORY_DECISIONS = link_pb2.ControlFrame(verdicts=link_pb2.Verdicts(last=True))


async def test_stream_sends_hello_inventory_credit() -> None:
    pipe, handler = FakePipe(), FakeSessionHandler()
    pipe.coming.put_nowait(make_welcome())
    pipe.coming.put_nowait(LAST_INVENTORY_DECISIONS)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(Stream(pipe, handler, SystemClock()).run(HELLO))
        kinds = [(await pipe.sent.get()).WhichOneof("frame") for _ in range(3)]
        pipe.coming.put_nowait(None)

    assert kinds == ["hello", "inventory", "credit"]
    assert run.result().code == "closed"
    assert handler.ended


async def test_stream_ends_when_peer_does_not_read() -> None:
    pipe = FakePipe()
    pipe.coming.put_nowait(make_welcome())
    pipe.coming.put_nowait(LAST_INVENTORY_DECISIONS)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(Stream(pipe, FakeSessionHandler(), SystemClock()).run(HELLO))
        for _ in range(3):
            await pipe.sent.get()
        pipe.stuck = True

    assert run.result().code in {"slow", "silent"}


async def test_bad_frame_ends_stream_and_names_field() -> None:
    pipe = FakePipe()
    pipe.coming.put_nowait(make_welcome(heartbeat_ms=0))
    async with asyncio.timeout(60):
        end = await Stream(pipe, FakeSessionHandler(), FakeClock()).run(HELLO)

    assert (end.code, end.retry) == ("bad_message", True)
    assert "welcome.heartbeat_ms" in end.message


async def test_stream_end_leaves_task_uncancelled() -> None:
    pipe = FakePipe()
    pipe.coming.put_nowait(None)
    async with asyncio.timeout(60):
        await Stream(pipe, FakeSessionHandler(), FakeClock()).run(HELLO)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


MESSAGES: Sequence[ControlMessage] = [
    WELCOME,
    Rejected("no", "no", retry=True),
    InventoryDecisions([], last=False),
    InventoryDecisions([], last=True),
    Heartbeat(number=1, sent_at=NOW, noted=1),
    Assignments([make_assignment()], {}),
    Stops([]),
    DesiredState(),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=20), st.integers(0, 3))
def test_session_takes_no_more_assignments_than_its_credit_and_ends_for_good(
    messages: list[ControlMessage], capacity: int
) -> None:
    session, _ = greet(HELLO, NOW)
    now = NOW
    for message in messages:
        before = session.state
        now += BEAT / 3
        session, _ = receive(session, message, [], now)
        session, _ = extend_credit(session, capacity)
        session, _ = tick(session, now)
        assert session.received <= session.credit or session.state is State.ENDED
        if before is State.ENDED:
            assert session.state is State.ENDED
