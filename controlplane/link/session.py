"""
Runs one agent's session over its stream: reads frames, performs effects, writes frames.

:class:`~controlplane.core.agent_sessions.AgentSession` decides. A few tasks share a session. One
reads frames; one commits the reports that were read, all waiting ones in one transaction; one
sends assignments and stops; one sends heartbeats; one serves the calls that other replicas
forward to the agent. When one task ends, all end, and the agent connects again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from controlplane.core.agent_session_effects import (
    CommitReports,
    Effect,
    FindWork,
    OpenSession,
    PassReply,
    ReconcileInventory,
    RecordFindings,
    RecordHeartbeat,
    Send,
)
from controlplane.core.agent_sessions import AgentSession
from controlplane.core.clusters import AgentInfo
from controlplane.core.errors import UnavailableError
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.link_timings import LinkTimings
from controlplane.feeds.feeds import Feeds
from controlplane.link import frames
from controlplane.link.forwarded_calls import ForwardedCallServer
from controlplane.link.live_calls import Calls, LiveCalls
from controlplane.link.metrics import LinkMetrics
from controlplane.link.spans import LinkSpans
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions, CommittedReports
from controlplane.usecases.forwarded_calls import ForwardedCalls
from shared.idl.agent.v1 import call_pb2, link_pb2
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, LeaseId
from shared.model.link_session import End, ProtocolError
from shared.traces.spans import NO_SPANS, SpanRecorder
from shared.wire.fields import BadMessageError

log = logging.getLogger(__name__)

ASSIGN_AT_ONCE = 32  # assignments whose specs are read together
FRAMES_AHEAD = 1_000  # frames queued for writing; past that the session ends as too slow
HELLO_TIMEOUT_SECONDS = 20
INVENTORY_TIMEOUT_SECONDS = 60.0  # for the whole inventory

CLOSED = End("closed", "the agent closed the stream")
_EXPIRED = End("expired", "the agent's certificate has expired and was not renewed")
_SLOW = End("slow", "the agent does not read its frames")
_STOPPING = End("stopping", "this replica is stopping; connect again")


class Pipe(Protocol):
    """The part of gRPC's stream that a session uses; None is its end."""

    async def read(self) -> link_pb2.AgentFrame | None: ...
    async def write(self, frame: link_pb2.ControlFrame) -> None: ...


class SessionOverError(Exception):
    """The session ends; the agent is sent the reason."""

    def __init__(self, end: End) -> None:
        super().__init__(end.message)
        self.end = end


class SessionStream:
    """One agent's stream: :meth:`greet`, then :meth:`run`."""

    def __init__(
        self,
        pipe: Pipe,
        *,
        agent_sessions: AgentSessions,
        feeds: Feeds,
        live: LiveCalls,
        forwarded_calls: ForwardedCalls,
        clock: Clock,
        timings: LinkTimings,
        metrics: LinkMetrics,
        spans: SpanRecorder = NO_SPANS,
    ) -> None:
        self._pipe = pipe
        self._spans = LinkSpans(spans, clock)
        self._agent_sessions = agent_sessions
        self._feeds = feeds
        self._live = live
        self._clock = clock
        self._timings = timings
        self._metrics = metrics
        self._state = AgentSession(timings, clock.now())
        self._scheduler = FairScheduler()
        self._outgoing: asyncio.Queue[link_pb2.ControlFrame] = asyncio.Queue(FRAMES_AHEAD)
        self._work = Wakeup()
        self._reports_waiting = Wakeup()
        self._committed = asyncio.Event()
        self._calls = Calls(self._request_send)
        self._call_server = ForwardedCallServer(self._calls, forwarded_calls, feeds)
        self._leaving = asyncio.Event()
        self._leave_after = timedelta()
        self._stopped_leasing = asyncio.Event()
        self._commit_lock = asyncio.Lock()

    def leave(self, *, after: timedelta) -> None:
        """Stop leasing, and end after this time, so that the agent goes to another replica."""
        self._leave_after = after
        self._leaving.set()
        self._work.wake()

    async def greet(self) -> AgentInfo:
        """Read the agent's hello; SessionOverError when it has to be rejected."""
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_SECONDS):
                while True:
                    for effect in await self._receive():
                        if isinstance(effect, OpenSession):
                            return effect.agent
        except TimeoutError as error:
            end = End("silent", f"no hello within {HELLO_TIMEOUT_SECONDS} s")
            raise SessionOverError(end) from error

    async def run(
        self,
        session: AgentSessionRef,
        on_open: Callable[[], None],
        *,
        until: datetime | None = None,
    ) -> None:
        """
        Serve the agent until either side ends; raises SessionOverError with the reason.

        ``on_open`` is called once the agent has its inventory decisions. ``until``: when its
        certificate expires, which TLS checks at the handshake only.
        """
        cluster = session.cluster
        now = self._clock.now()
        await self._write_now(self._state.opened(session.epoch, cluster.name, now))
        decisions = await self._reconcile_inventory(session)
        # Added before the decisions are sent: an agent that has them can be called.
        self._live.add((cluster.org, cluster.name), self._calls)
        try:
            await self._write_now(decisions)
            on_open()
            with self._feeds.work(cluster.org, cluster.name, self._work, self._state.is_relevant):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read(), name="link-read")
                    tasks.create_task(self._write(), name="link-write")
                    tasks.create_task(self._commit_reports(session), name="link-commit-reports")
                    tasks.create_task(self._hand_out(session), name="link-hand-out")
                    tasks.create_task(self._send_heartbeats(session), name="link-heartbeat")
                    tasks.create_task(self._call_server.run(session), name="link-forwarded-calls")
                    tasks.create_task(self._leave(), name="link-leave")
                    if until is not None:
                        tasks.create_task(self._expire(until), name="link-expire")
        finally:
            self._live.remove((cluster.org, cluster.name), self._calls)
            self._calls.close()

    async def _reconcile_inventory(self, session: AgentSessionRef) -> Sequence[Effect]:
        """Read the agent's inventory; return the decisions on its attempts."""
        try:
            async with asyncio.timeout(INVENTORY_TIMEOUT_SECONDS):
                inventory = await self._read_inventory()
        except TimeoutError as error:
            end = End("silent", "the inventory was not complete in time")
            raise SessionOverError(end) from error
        decisions = await self._agent_sessions.reconcile_inventory(session, inventory)
        log.info(
            "agent inventory reconciled",
            extra={"cluster": session.cluster.name, "holds": len(inventory)},
        )
        return self._state.reconciled(decisions)

    async def _read_inventory(self) -> Sequence[tuple[AttemptId, LeaseId]]:
        while True:
            for effect in await self._receive():
                if isinstance(effect, ReconcileInventory):
                    return effect.inventory

    async def _receive(self) -> Sequence[Effect]:
        """Read one frame; return its effects, none for a frame of a later release."""
        try:
            frame = await self._pipe.read()
            message = None if frame is None else frames.parse_frame(frame)
        except (BadMessageError, ProtocolError) as error:
            raise SessionOverError(End("protocol", str(error))) from error
        if frame is None:
            raise SessionOverError(CLOSED)
        effects = [] if message is None else self._state.receive(message, self._clock.now())
        for effect in effects:
            if isinstance(effect, End):
                raise SessionOverError(effect)
        return effects

    async def _read(self) -> None:
        while True:
            self._perform(await self._receive())
            while self._state.reports.is_full:  # gRPC's flow control then blocks the agent
                self._committed.clear()
                await self._committed.wait()

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    self._send(frames.render_frame(message))
                case FindWork():
                    self._work.wake()
                case CommitReports():
                    self._reports_waiting.wake()
                case PassReply(call_pb2.Reply() as reply):
                    self._calls.take(reply)
                case End():
                    raise SessionOverError(effect)
                case _:
                    raise AssertionError(f"not an effect of an open session: {effect}")

    async def _write_now(self, effects: Sequence[Effect]) -> None:
        """Write the frames of a handshake, each once the agent has read those before it."""
        for effect in effects:
            if isinstance(effect, Send):
                await self._put(frames.render_frame(effect.message))

    async def _write(self) -> None:
        while True:
            await self._put(await self._outgoing.get())
            self._outgoing.task_done()

    async def _put(self, frame: link_pb2.ControlFrame) -> None:
        try:
            async with asyncio.timeout(self._timings.silent_after.total_seconds()):
                await self._pipe.write(frame)
        except TimeoutError as error:
            raise SessionOverError(_SLOW) from error

    async def _commit_reports(self, session: AgentSessionRef) -> None:
        reports = self._state.reports
        while True:
            if not reports.has_new:
                await self._reports_waiting.wait(at_most=reports.pause)
            commit = reports.next_commit()
            if commit is None:
                continue
            async with self._commit_lock:
                begun = self._clock.now()
                with self._metrics.commit.time():
                    committed = await self._agent_sessions.commit_reports(
                        session, commit.accepted, commit.reports
                    )
                accepted = committed.accepted
                self._perform(
                    self._state.accepted(
                        confirmed=accepted.confirmed,
                        stops=accepted.stops,
                        not_leased=accepted.not_leased,
                    )
                )
                self._acknowledge(committed)
                self._spans.committed(commit.reports, committed.acknowledged, begun)
                if committed.locked:
                    self._acknowledge(
                        await self._agent_sessions.settle_locked(session, committed.locked)
                    )

    def _acknowledge(self, committed: CommittedReports) -> None:
        self._metrics.answered(committed.acknowledged)
        self._perform(
            self._state.committed(committed.acknowledged, committed.locked, self._clock.now())
        )
        self._committed.set()

    async def _leave(self) -> None:
        """End the session after ``leave``, between two commits, once all frames are written."""
        await self._leaving.wait()
        await self._clock.sleep(self._leave_after)
        await self._stopped_leasing.wait()
        async with self._commit_lock:
            await self._outgoing.join()
            raise SessionOverError(_STOPPING)

    async def _expire(self, until: datetime) -> None:
        await self._clock.sleep(max(until - self._clock.now(), timedelta()))
        raise SessionOverError(_EXPIRED)

    async def _hand_out(self, session: AgentSessionRef) -> None:
        while not self._leaving.is_set():
            most = self._state.begin_claim()
            with self._metrics.claim.time():
                found = await self._agent_sessions.hand_out(session, most, self._scheduler)
            self._perform(self._state.claimed(found.spec, len(found.assignments)))
            if found.assignments:
                self._metrics.assigned(found)
                await self._assign(session, self._spans.leased(session.cluster.name, found))
                continue
            self._perform(self._state.stop(found.stops))
            pause = self._state.claim_pause(found.next_at, self._clock.now())
            if not self._leaving.is_set() and await self._work.wait(at_most=pause):
                self._scheduler.reset_skips()
        self._stopped_leasing.set()

    async def _assign(self, session: AgentSessionRef, assignments: Sequence[Assignment]) -> None:
        for start in range(0, len(assignments), ASSIGN_AT_ONCE):
            part = assignments[start : start + ASSIGN_AT_ONCE]
            missing = self._state.unsent_specs(part)
            specs = await self._agent_sessions.find_specs(session, missing) if missing else {}
            self._perform(self._state.assign(part, specs))
            if missing:  # specs may be large: queue no more of them than the agent reads
                await self._outgoing.join()

    async def _send_heartbeats(self, session: AgentSessionRef) -> None:
        while True:
            await self._clock.sleep(self._timings.heartbeat)
            for effect in self._state.tick(self._clock.now()):
                if isinstance(effect, RecordHeartbeat):
                    spec = await self._agent_sessions.record_heartbeat(session, effect.load)
                    self._perform(self._state.heartbeat_recorded(effect, spec))
                elif isinstance(effect, RecordFindings):
                    await self._agent_sessions.record_findings(session, effect.findings)
                else:
                    self._perform([effect])

    def _send(self, frame: link_pb2.ControlFrame) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull as error:
            raise SessionOverError(_SLOW) from error

    def _request_send(self, frame: link_pb2.ControlFrame) -> None:
        """Send a frame for a caller outside the session; if the queue is full it gets the error."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull as error:
            raise UnavailableError("the cluster's agent reads too slowly; try again") from error
