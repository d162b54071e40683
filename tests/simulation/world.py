"""
Simulates replicas, installations of the agent, and the network between them.

A replica and an agent are wired up as the two ``main`` packages do; keep all of them alike.
"""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

from flyteidl2.task.task_definition_pb2 import TaskSpec
from prometheus_client import CollectorRegistry

from controlplane.core.link_timings import LinkTimings
from controlplane.feeds.feeds import Feeds
from controlplane.link.live_calls import LiveCalls
from controlplane.link.metrics import LinkMetrics
from controlplane.link.server import AgentLinkService
from controlplane.store.database import Database
from controlplane.store.resources.clusters import ClusterRef
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.channel import Token
from dataplane.agent.link.connection import Connection
from dataplane.agent.link.stream import Stream
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.loops.fence import Fence
from dataplane.agent.loops.log_followers import LogFollowers
from dataplane.agent.loops.session_handler import AgentSessionHandler
from dataplane.agent.loops.sweeper import Sweeper
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.runtime_selection import Runtimes
from shared.kit.cancellation import check_cancellation
from shared.kit.wakeup import Wakeup
from shared.model.ids import Digest
from shared.model.link_session import End
from tests.simulation.disk import Disk
from tests.simulation.loop import Node, SimLoop
from tests.simulation.machine import Machine, Process, SimRuntime, Witness
from tests.simulation.model import ModelStore
from tests.simulation.postgres import (
    SimAgentSessions,
    SimClock,
    SimLeaseExpiry,
    SimPostgres,
    SimRelays,
)
from tests.simulation.rows import RUN_SPEC
from tests.simulation.wire import Context, Wire, WireBrokenError

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=2)
_TASK = TaskSpec()
_TASK.task_template.type = "python"
_TASK.task_template.container.args.append("a0")
_BODY = _TASK.SerializeToString(deterministic=True)
SPEC = Digest(hashlib.sha256(_BODY).digest())
_SPECS = {SPEC: _BODY, RUN_SPEC: b""}


class Replica:
    """A replica of the control plane, across restarts."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self.clock = SimClock(world.loop, EPOCH)
        self.node: Node | None = None
        self._world = world
        self._proxy: AgentLinkService | None = None

    @property
    def is_up(self) -> bool:
        return self.node is not None

    def start(self) -> None:
        world = self._world
        self.node = world.loop.node(self.name)
        agent_sessions = SimAgentSessions(world.postgres, _SPECS, self.clock)
        feeds = Feeds(cast("Database", None), world.postgres.listen)
        self._proxy = AgentLinkService(
            agent_sessions=agent_sessions,
            feeds=feeds,
            live=LiveCalls(),
            forwarded_calls=SimRelays(world.postgres),
            clock=self.clock,
            timings=world.timings,
            metrics=LinkMetrics(CollectorRegistry()),
        )
        leases = SimLeaseExpiry(world.postgres, self.clock, world.timings)
        self.node.spawn(feeds.run(), name=f"{self.name} feeds")
        self.node.spawn(leases.run(), name=f"{self.name} leases")

    def close(self) -> None:
        """Shut down gracefully: close its agents' sessions, as on SIGTERM."""
        if self._proxy is not None:
            self._proxy.close()

    def kill(self) -> None:
        if self.node is not None:
            self.node.kill()
            self.node = None

    def accept(self, wire: Wire) -> None:
        if self.node is None:
            raise WireBrokenError
        wire.on_break = self.node.spawn(self._serve(wire), name=f"{self.name} serves")

    async def _serve(self, wire: Wire) -> None:
        if self._proxy is not None:
            await self._proxy.Connect(None, cast("Any", Context(wire)))
            wire.end()


class Installation:
    """An agent with its disk and its machine, across restarts."""

    def __init__(self, world: "World", cluster: ClusterRef, name: str) -> None:
        self.name = name
        self.cluster = cluster
        self.clock = SimClock(world.loop, EPOCH)
        self.disk = Disk(world.loop, world.chance)
        self.machine = Machine(
            name, world.loop, world.chance, world.witness, self.clock, grace=GRACE
        )
        self.node: Node | None = None
        self.is_cut_off = False
        self.born_at = 0.0
        self.wire: Wire | None = None
        self.wires: list[Wire] = []
        self._world = world

    @property
    def is_up(self) -> bool:
        return self.node is not None

    def start(self) -> None:
        self.born_at = self._world.loop.time()
        self.node = self._world.loop.node(self.name)
        self.node.spawn(self._live(), name=self.name)

    def kill(self, *, silently: bool = False) -> None:
        """Kill it; with ``silently``, its peer gets no reset from the kernel."""
        if self.node is None:
            return
        self.node.kill()
        self.node = None
        if self.wire is not None and silently:
            self.wire.up.swallows = self.wire.down.swallows = True
        elif self.wire is not None:
            self.wire.hang_up()

    async def dial(self) -> Wire:
        """Connect to a replica that is up; WireBrokenError if none is reachable."""
        await asyncio.sleep(self._world.chance.uniform(0.001, 0.05))
        up = [replica for replica in self._world.replicas if replica.is_up]
        if self.is_cut_off or not up:
            raise WireBrokenError
        wire = self._world.make_wire(self.cluster.name)
        self._world.chance.choice(up).accept(wire)
        self.wire = wire
        self.wires.append(wire)
        return wire

    async def _live(self) -> None:
        try:
            await self._run()
        except* LedgerError:
            self._world.note(f"{self.name} ends: its disk is full")
            self.node = None
            self._world.later(1.0, self._rise)

    def _rise(self) -> None:
        if not self.is_up:
            self.start()

    async def _run(self) -> None:
        """Run the agent, wired up as in ``dataplane.agent.main``."""
        clock, chance = self.clock, self._world.chance
        ledger = Ledger(self.disk.open())
        await ledger.load()
        runtime = SimRuntime(self.machine, chance)
        wakeup = Wakeup()
        runtimes = Runtimes(choices=[], unsupported=runtime, capabilities=())
        attempts = Attempts(ledger, runtimes, wakeup, clock)
        followers = LogFollowers(runtime, wakeup)
        fence = Fence(ledger, attempts, runtime, clock, grace=GRACE)
        handler = AgentSessionHandler(
            ledger=ledger,
            attempts=attempts,
            followers=followers,
            fence=fence,
            wakeup=wakeup,
            slots=self._world.slots,
            free_memory=lambda: 2**40,
            clock=clock,
        )
        connection = SimConnection(self, runtimes, ledger, handler)
        processes = cast("ProcessRuntime", runtime)
        sweeper = Sweeper(ledger, processes, clock, retention=timedelta(hours=1))
        async with asyncio.TaskGroup() as services:
            services.create_task(attempts.run(), name=f"{self.name} attempts")
            services.create_task(followers.run(), name=f"{self.name} followers")
            services.create_task(fence.run(), name=f"{self.name} fence")
            services.create_task(connection.run(), name=f"{self.name} connection")
            services.create_task(sweeper.run(), name=f"{self.name} sweeper")


class SimConnection(Connection):
    """``link.connection`` with a simulated dial."""

    def __init__(
        self,
        installation: Installation,
        runtimes: Runtimes,
        ledger: Ledger,
        handler: AgentSessionHandler,
    ) -> None:
        super().__init__(
            addresses=[installation.name],
            token=Token(Path("none")),
            ca_file=None,
            capabilities=runtimes.list_capabilities,
            ledger=ledger,
            handler=handler,
            clock=installation.clock,
        )
        self._installation = installation

    async def _dial(self, address: str) -> tuple[End, bool]:
        del address
        try:
            wire = await self._installation.dial()
        except WireBrokenError:
            return End("unavailable", "nobody answers"), False
        end = End("unknown", "the call ended without a word")
        stream = Stream(wire, self._handler, self._clock)
        try:
            end = await stream.run(self._hello())
        except* WireBrokenError:
            end = End("unavailable", "the connection broke")
        finally:
            wire.hang_up()
        check_cancellation()
        self._installation._world.ended(self._installation, wire, end)
        return end, stream.welcomed


class World:
    def __init__(
        self, loop: SimLoop, chance: Random, *, timings: LinkTimings, delay: float
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.timings = timings
        self.slots = 1000
        self.witness = Witness()
        self.store = ModelStore(chance, EPOCH)
        self.postgres = SimPostgres(loop, self.store, chance)
        self.replicas: list[Replica] = []
        self.installations: list[Installation] = []
        self.ends: list[End] = []
        self.strays: list[Process] = []
        self.trace: list[str] = []
        self.cuts: Callable[[], int] = lambda: (
            0
        )  # the number of frames after which a new wire is cut
        self._delay = delay

    def add_replica(self) -> Replica:
        replica = Replica(self, f"replica {len(self.replicas) + 1}")
        self.replicas.append(replica)
        replica.start()
        return replica

    def add_installation(self, cluster: ClusterRef) -> Installation:
        """Start an agent of the cluster; after healing, each cluster's first one remains."""
        name = f"agent {len(self.installations) + 1} of {cluster.name}"
        installation = Installation(self, cluster, name)
        self.installations.append(installation)
        installation.start()
        return installation

    def note_strays(self) -> None:
        """Record attempts that still run although their agent should have stopped them."""
        born = {each.name: each.born_at for each in self.installations}
        for process in self.witness.running():
            if process.started_at > born[process.machine]:
                self.strays.append(process)

    def is_to_stay(self, installation: Installation) -> bool:
        of_cluster = [each for each in self.installations if each.cluster == installation.cluster]
        return of_cluster[0] is installation

    def make_wire(self, token: str) -> Wire:
        wire = Wire(self.loop, self.chance, delay=self._delay, token=token)
        wire.cut_after = self.cuts()
        return wire

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time())

    def later(self, seconds: float, do: Callable[..., object], *args: Any) -> None:
        self.loop.call_in_world(self.loop.time() + seconds, do, *args)

    def note(self, what: str) -> None:
        self.trace.append(f"{self.loop.time():9.3f} {what}")

    def ended(self, installation: Installation, wire: Wire, end: End) -> None:
        if not (
            wire.is_disordered and end.code == "protocol"
        ):  # a protocol error is expected on a disordered wire
            self.ends.append(end)
        self.note(f"{installation.name}'s session ends: {end.code}")
