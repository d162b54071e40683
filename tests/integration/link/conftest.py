"""The control plane's AgentLinkService on a real socket, and an agent that says what the test tells it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from controlplane.core.link_timings import LinkTimings
from controlplane.feeds.feeds import Feeds
from controlplane.link.attempt_tokens_service import AttemptTokenExchange
from controlplane.link.connection_limits import LinkLimits
from controlplane.link.forwarded_calls import Agents
from controlplane.link.live_calls import LiveCalls
from controlplane.link.logs import AgentLogs
from controlplane.link.metrics import LinkMetrics
from controlplane.link.probe_service import Probes
from controlplane.link.secrets_service import SecretDeliveries
from controlplane.link.server import AgentLinkService, LinkServer
from controlplane.store.notify.notifications import listen
from controlplane.store.resources.clusters import save_cluster
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.forwarded_calls import ForwardedCalls
from controlplane.usecases.running_attempts import AttemptTokens
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from shared.idl.agent.v1 import assignment_pb2, link_pb2, report_pb2
from shared.kit.secrets import SecretBytes
from shared.model.assignments import Assignment
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.reports import Report
from shared.secrets.keyrings import AesKey
from shared.wire.assignments import parse_assignment
from shared.wire.ids import render_lease
from shared.wire.reports import render_report
from tests.factories import NOW, ORG
from tests.integration.store.conftest import CLUSTER, Store, store
from tests.running import running

__all__ = ["store"]

TOKEN = "a-token-of-a-test"  # noqa: S105
BLOB_BASE = "file:///blobs"
TIMEOUT_SECONDS = 60.0
"""Seconds for anything an agent waits for."""

Lease = tuple[AttemptId, LeaseId]
Control = link_pb2.ControlFrame


class PacedClock:
    """A clock that begins at the hour of the tests and goes on at the world's pace."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._loop.time() - self._began)

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(delay.total_seconds())


@dataclass(frozen=True, slots=True)
class LinkUnderTest:
    store: Store
    logs: AgentLogs
    servicer: AgentLinkService
    probes: Probes
    deliveries: SecretDeliveries
    exchange: AttemptTokenExchange
    secrets: Secrets
    port: int


class Agent:
    """One stream. ``hear`` waits for the next frame that is not a heartbeat or a wish."""

    def __init__(
        self, call: "grpc.aio.StreamStreamCall[link_pb2.AgentFrame | bytes, Control]"
    ) -> None:
        self.call = call

    async def say(self, **frame: object) -> None:
        await self.call.write(link_pb2.AgentFrame(**frame))  # type: ignore[arg-type]

    async def say_bytes(self, raw: bytes) -> None:
        await self.call.write(raw)

    async def hear(self, kind: str) -> Control:
        """Return the next frame, which is of this kind."""
        frame = await self.hear_any()
        assert frame is not None, f"the stream ended before {kind}"
        assert frame.WhichOneof("frame") == kind, f"wanted {kind}, heard {frame}"
        return frame

    async def hear_any(
        self, *, passing_over: Sequence[str] = ("heartbeat", "wanted")
    ) -> Control | None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                frame = await self.call.read()
                if not isinstance(frame, Control):
                    return None
                if frame.WhichOneof("frame") not in passing_over:
                    return frame

    async def hear_end(self) -> tuple[str, str, bool]:
        """Pass over everything up to the refusal; return what it says."""
        while True:
            frame = await self.hear_any()
            assert frame is not None, "the stream ended without a refusal"
            if frame.WhichOneof("frame") == "refusal":
                return frame.refusal.code, frame.refusal.message, frame.refusal.retry

    async def greet(self, **hello: object) -> link_pb2.Welcome:
        await self.say(hello=make_hello(**hello))
        return (await self.hear("welcome")).welcome

    async def open(self, held_leases: Sequence[Lease] = ()) -> Sequence[link_pb2.VerdictOnLease]:
        """Greet and report the inventory; return the decisions."""
        await self.greet()
        await self.say(inventory=make_inventory(held_leases))
        statuses = (await self.hear("verdicts")).verdicts
        assert statuses.last
        return statuses.verdicts

    async def take(self, count: int) -> list[Assignment]:
        """Ask for so many and wait until they are here."""
        await self.say(credit=link_pb2.Credit(total=count))
        return await self.hear_assignments(count)

    async def hear_assignments(self, count: int) -> list[Assignment]:
        taken: list[Assignment] = []
        while len(taken) < count:
            batch = (await self.hear("assignments")).assignments
            taken += [parse_assignment(each) for each in batch.assignments]
        assert len(taken) == count
        return taken

    async def accept(self, *assignments: Assignment) -> set[LeaseId]:
        """Accept; return what is confirmed."""
        await self.say(accepted=assignment_pb2.Accepted(leases=make_leases(lease_of(*assignments))))
        confirmed = (await self.hear("confirmed")).confirmed
        return {LeaseId(parse_uuid(each.lease_id)) for each in confirmed.leases}

    async def be_heard(self) -> None:
        """Return once everything said before has been read: this is answered in its turn."""
        strange = [(AttemptId(ActionId(uuid4()), 1), LeaseId(uuid4()))]
        await self.say(accepted=assignment_pb2.Accepted(leases=make_leases(strange)))
        await self.hear("stops")

    async def report(self, *reports: Report) -> list[int]:
        """Report; return the acknowledgements."""
        await self.say_reports(*reports)
        kind = (await self.hear("acknowledgements")).acknowledgements
        return [each.verdict for each in kind.acknowledgements]

    async def say_reports(self, *reports: Report) -> None:
        await self.say(reports=report_pb2.ReportBatch(reports=[render_report(r) for r in reports]))


def parse_uuid(raw: bytes) -> UUID:
    return UUID(bytes=raw)


def make_hello(**changed: object) -> link_pb2.Hello:
    kind: dict[str, object] = {
        "agent_id": "an agent",
        "instance_id": "an instance",
        "protocol_min": 1,
        "protocol_max": 1,
        "software": "a test",
    }
    return link_pb2.Hello(**{**kind, **changed})  # type: ignore[arg-type]


def lease_of(*assignments: Assignment) -> list[Lease]:
    return [(each.attempt, each.lease) for each in assignments]


def make_leases(leases: Sequence[Lease]) -> list[assignment_pb2.Lease]:
    return [render_lease(attempt, lease) for attempt, lease in leases]


def make_inventory(held_leases: Sequence[Lease], *, last: bool = True) -> link_pb2.Inventory:
    return link_pb2.Inventory(leases=make_leases(held_leases), last=last)


@asynccontextmanager
async def serving(
    store: Store, url: str, timings: LinkTimings, *, limits: LinkLimits | None = None
) -> AsyncIterator[LinkUnderTest]:
    """Serve agents as ``controlplane.main`` does."""
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, CLUSTER, hashlib.sha256(TOKEN.encode()).digest(), NOW)
    clock, live = PacedClock(), LiveCalls()
    feeds = Feeds(store.database, partial(listen, url))
    relays = ForwardedCalls(store.database, clock)
    agent_sessions = AgentSessions(store.database, clock)
    link = AgentLinkService(
        agent_sessions=agent_sessions,
        feeds=feeds,
        live=live,
        forwarded_calls=relays,
        clock=clock,
        timings=timings,
        metrics=LinkMetrics(CollectorRegistry()),
    )
    probes = Probes(agent_sessions, clock, blob_base=BLOB_BASE)
    keys = SecretKeys([AesKey(SecretBytes(b"k" * 32))])
    secrets = Secrets(store.database, clock, keys, lambda _: {"token", "none"})
    deliveries = SecretDeliveries(agent_sessions, secrets)
    exchange = AttemptTokenExchange(agent_sessions, AttemptTokens(store.database, None))
    server = LinkServer(link, probes, deliveries, "127.0.0.1", 0, tokens=exchange, limits=limits)
    await server.start()
    async with (
        running(feeds, at_most=60),
        running(agent_sessions, at_most=60),
        running(server, at_most=60),
    ):
        yield LinkUnderTest(
            store,
            AgentLogs(Agents(live, relays, feeds)),
            link,
            probes,
            deliveries,
            exchange,
            secrets,
            server.port,
        )


@pytest.fixture
async def link(store: Store, database_url: str) -> AsyncIterator[LinkUnderTest]:
    async with serving(store, database_url, LinkTimings()) as opened:
        yield opened


@asynccontextmanager
async def calling(link: LinkUnderTest, token: str | None = TOKEN) -> AsyncIterator[Agent]:
    """Dial the control plane; leaving the block closes the connection."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}", options=options) as channel:
        connect = channel.stream_stream(
            "/volary.agent.v1.LinkService/Connect",
            request_serializer=_serialise,
            response_deserializer=Control.FromString,
        )
        call = connect(metadata=metadata)
        try:
            yield Agent(call)
        finally:
            call.cancel()


def _serialise(frame: link_pb2.AgentFrame | bytes) -> bytes:
    return frame if isinstance(frame, bytes) else frame.SerializeToString()
