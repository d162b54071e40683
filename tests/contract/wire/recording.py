"""Records a session of this release, by a tap between a real agent and a real control plane."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from shared.model.phases import Phase
from tests.contract.wire.recordings import (
    AGENT,
    CONTROL,
    PLACE,
    WORLD,
    Event,
    Exchange,
    kind_of,
    parse,
)
from tests.contract.wire.session import TIMEOUT_SECONDS, People, lay_out, place_of
from tests.integration.agent.world import AgentProcess, stopped_afterwards
from tests.integration.link.conftest import TOKEN, LinkUnderTest
from tests.running import until

METHOD = "/volary.agent.v1.LinkService/Connect"


class Tap(grpc.GenericRpcHandler):
    """Forwards the bytes of each stream in both directions and records them in order."""

    def __init__(self, link: str) -> None:
        self.events: list[Event] = []
        self._proxy = link
        self._cut = asyncio.Event()

    def note(self, by: str, kind: str, raw: bytes = b"") -> None:
        self.events.append(Event(by=by, kind=kind, raw=raw))

    def cut(self) -> None:
        """Cut the open stream, without notice to either side."""
        self.note(WORLD, "cut")
        self._cut.set()
        self._cut = asyncio.Event()

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.events)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        assert handler_call_details.method == METHOD
        return grpc.stream_stream_rpc_method_handler(self._connect)

    async def _connect(self, output: AsyncIterator[bytes], agent: Any) -> None:
        cut = self._cut
        tokens = [pair for pair in agent.invocation_metadata() if pair[0] == "authorization"]
        async with grpc.aio.insecure_channel(self._proxy) as channel:
            call: Any = channel.stream_stream(METHOD)(metadata=tokens)
            async with asyncio.TaskGroup() as pumps:
                up = pumps.create_task(self._pump_up(output, call))
                down = pumps.create_task(self._pump_down(call, agent))
                await cut.wait()
                up.cancel()
                down.cancel()
            call.cancel()

    async def _pump_up(self, output: AsyncIterator[bytes], call: Any) -> None:
        async for raw in output:
            self.note(AGENT, kind_of(parse(AGENT, raw)), raw)
            await call.write(raw)

    async def _pump_down(self, call: Any, agent: Any) -> None:
        while isinstance(raw := await call.read(), bytes):
            self.note(CONTROL, kind_of(parse(CONTROL, raw)), raw)
            await agent.write(raw)


@asynccontextmanager
async def tapped(link: LinkUnderTest, kind: type[Tap] = Tap) -> AsyncIterator[tuple[Tap, str]]:
    """Serve a recording proxy in front of the control plane; yields its address."""
    tap = kind(f"127.0.0.1:{link.port}")
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((tap,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield tap, f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)


async def record(link: LinkUnderTest, directory: Path) -> Sequence[Event]:
    """Run the scenario, and return its events in order."""
    place = place_of(directory)
    lay_out(place)
    people = People(link, str(place))
    async with tapped(link) as (tap, address):
        agent = await AgentProcess.dial(address, TOKEN, directory, "--cold")
        async with stopped_afterwards(agent):
            await _live_through(people, tap)
    exchange = Exchange({str(place).encode(): PLACE.encode()})
    return [replace(event, raw=exchange(event.raw)) for event in tap.events]


async def _live_through(people: People, tap: Tap) -> None:
    async def act(what: str) -> None:
        tap.note(WORLD, what)
        await people.act(what)

    await until(lambda: tap.count("credit") == 1, at_most=TIMEOUT_SECONDS)
    await act("begin r1")
    await people.until_phase("r1", Phase.SUCCEEDED)
    await act("begin r2")
    await people.until_phase("r2", Phase.RUNNING)
    await act("follow r2")
    await until(lambda: tap.count("heartbeat") >= 3, at_most=TIMEOUT_SECONDS)
    tap.cut()
    await until(lambda: tap.count("verdicts") == 2, at_most=TIMEOUT_SECONDS)
    before = tap.count("acknowledgements")
    await act("abort r2")
    await people.until_phase("r2", Phase.ABORTED)
    await until(lambda: tap.count("acknowledgements") > before, at_most=TIMEOUT_SECONDS)
