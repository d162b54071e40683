"""
Replays one side of a recorded session against today's other side.

Recorded frames of that side are sent. Frames that it received are awaited as facts, because
today's side may batch and time them differently.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from shared.idl.agent.v1 import assignment_pb2, link_pb2
from tests.contract.wire.recording import METHOD
from tests.contract.wire.recordings import AGENT, CONTROL, WORLD, Event, Exchange
from tests.contract.wire.session import TIMEOUT_SECONDS, Fact, People, facts_of
from tests.integration.link.conftest import LinkUnderTest, calling

Assignments = dict[str, assignment_pb2.Assignment]


class Heard:
    """Frames received from the other side on one stream."""

    def __init__(self) -> None:
        self.facts: set[Fact] = set()
        self._update = asyncio.Event()

    def take(self, facts: set[Fact]) -> None:
        self.facts |= facts
        self._update.set()

    async def until(self, facts: set[Fact]) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not facts <= self.facts:
                    self._update.clear()
                    await self._update.wait()
        except TimeoutError:
            raise AssertionError(f"not heard: {facts - self.facts}; but {self.facts}") from None


def streams_of(events: Sequence[Event]) -> Sequence[Sequence[Event]]:
    """Split a recording into its streams."""
    streams: list[list[Event]] = [[]]
    for event in events:
        if event.by == WORLD and event.kind == "cut":
            streams.append([])
        else:
            streams[-1].append(event)
    return streams


async def play_agent(events: Sequence[Event], link: LinkUnderTest, people: People) -> None:
    """Replay the recorded agent against today's control plane."""
    ids, recorded = Exchange(), _assignments(events)
    for stream in streams_of(events):
        async with calling(link) as agent, asyncio.TaskGroup() as tasks:
            received = Heard()

            async def listen(call: Any = agent.call, received: Heard = received) -> None:
                while isinstance(frame := await call.read(), link_pb2.ControlFrame):
                    for each in frame.assignments.assignments:
                        before = recorded[each.run]
                        ids.add(before.lease_id, each.lease_id)
                        ids.add(before.attempt.action_id, each.attempt.action_id)
                    received.take(facts_of(frame))

            listening = tasks.create_task(listen())
            for event in stream:
                match event.by:
                    case "agent":
                        await agent.say_bytes(ids(event.raw))
                    case "control plane":
                        await received.until(
                            facts_of(Event(by=CONTROL, kind="", raw=ids(event.raw)).frame)
                        )
                    case _:
                        tasks.create_task(people.act(event.kind))
            listening.cancel()


def _assignments(events: Sequence[Event]) -> Assignments:
    frames = [event.frame for event in events if event.kind == "assignments"]
    return {
        each.run: each
        for frame in frames
        if isinstance(frame, link_pb2.ControlFrame)
        for each in frame.assignments.assignments
    }


class RecordedControlPlane(grpc.GenericRpcHandler):
    """Replays the control plane's side of the recorded streams, one after the other."""

    def __init__(self, events: Sequence[Event], exchange: Exchange) -> None:
        self._streams = list(streams_of(events))
        self._exchange = exchange
        self.over = asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        assert handler_call_details.method == METHOD
        return grpc.stream_stream_rpc_method_handler(
            self._connect, request_deserializer=link_pb2.AgentFrame.FromString
        )

    async def _connect(self, output: AsyncIterator[link_pb2.AgentFrame], agent: Any) -> None:
        stream, received = self._streams.pop(0), Heard()

        async def listen() -> None:
            async for frame in output:
                received.take(facts_of(frame))

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            for event in stream:
                if event.by == CONTROL:
                    await agent.write(self._exchange(event.raw))
                elif event.by == AGENT:
                    await received.until(facts_of(event.frame))
            listening.cancel()
        if not self._streams:
            self.over.set()


@asynccontextmanager
async def recorded_control_plane(
    events: Sequence[Event], exchange: Exchange
) -> AsyncIterator[tuple[RecordedControlPlane, str]]:
    """Serve the recorded control plane; yields its address."""
    control = RecordedControlPlane(events, exchange)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((control,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield control, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)
