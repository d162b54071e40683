"""
Serves one agent's stream: reads frames, commits reports, leases work against the credit.

A few tasks share a session. One reads frames; one commits the reports that were read, all
waiting ones in one transaction; one sends assignments and stops; one sends heartbeats; one
serves the calls that other replicas forward to the agent. When one task ends, all end, and
the agent connects again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from controlplane.core import agent_sessions as rules
from controlplane.core.agent_sessions import (
    Credits,
    FrameKind,
    InventoryDecision,
    LeaseRecord,
    State,
)
from controlplane.core.clusters import AgentLoad, ClusterSpec
from controlplane.core.errors import UnavailableError
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.link_timings import LinkTimings
from controlplane.core.queues import ANY_POOL
from controlplane.feeds.feeds import Feeds
from controlplane.link import frames
from controlplane.link.forwarded_calls import ForwardedCallServer
from controlplane.link.live_calls import Calls, LiveCalls
from controlplane.link.metrics import LinkMetrics
from controlplane.link.pipe import Pipe, SessionOverError
from controlplane.usecases.agent_sessions import (
    AgentSessionRef,
    AgentSessions,
    CommittedReports,
    HandOut,
)
from controlplane.usecases.forwarded_calls import ForwardedCalls
from shared.idl.agent.v1 import link_pb2
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.reports import Report
from shared.wire.ids import parse_lease
from shared.wire.reports import parse_report

log = logging.getLogger(__name__)

T = TypeVar("T")

CLAIM_AT_ONCE = 250
ASSIGN_AT_ONCE = 32  # assignments whose specs are read together
REPORTS_PER_COMMIT = 500
MAX_UNCOMMITTED = 5_000  # reports read and not committed; past that we stop reading
DECISIONS_PER_FRAME = 1_000
FRAMES_AHEAD = 1_000  # frames queued for writing; past that the session ends as too slow
INVENTORY_TIMEOUT_SECONDS = 60.0  # for the whole inventory
POLL_INTERVAL = timedelta(seconds=15)  # for work, in case a notification was lost
LOCK_RETRY = timedelta(milliseconds=100)  # when reports wait for a locked run
RETRY_INTERVAL = timedelta(milliseconds=50)  # when waiting work is blocked by a limit or a lock


class Session:
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
    ) -> None:
        self._pipe = pipe
        self._agent_sessions = agent_sessions
        self._feeds = feeds
        self._live = live
        self._clock = clock
        self._timings = timings
        self._metrics = metrics
        self._state = State.GREETING
        self._credits = Credits()
        self._scheduler = FairScheduler()
        self._sent_specs: set[Digest] = set()
        self._sent_stops: set[LeaseId] = set()
        self._outgoing: asyncio.Queue[link_pb2.ControlFrame] = asyncio.Queue(FRAMES_AHEAD)
        self._work = Wakeup()
        self._reports_waiting = Wakeup()
        self._capacity = asyncio.Event()
        self._capacity.set()
        self._accepted: deque[tuple[AttemptId, LeaseId]] = deque()
        self._reports: deque[Report] = deque()
        self._locked: Sequence[Report] = ()  # reports on runs that another transaction holds
        self._calls = Calls(self._request_send)
        self._call_server = ForwardedCallServer(self._calls, forwarded_calls, feeds)
        self._leaving = asyncio.Event()
        self._leave_after = timedelta()
        self._stopped_leasing = asyncio.Event()
        self._commit_lock = asyncio.Lock()
        self._last_received_at = clock.now()
        self._heartbeat = link_pb2.Heartbeat()  # the latest received
        self._counted_at: datetime | None = None  # when it was received
        self._spec: ClusterSpec | None = None
        self._is_claiming = False

    def leave(self, *, after: timedelta) -> None:
        """Stop leasing, and end after this time, so that the agent goes to another replica."""
        self._leave_after = after
        self._leaving.set()
        self._work.wake()

    async def run(
        self, session: AgentSessionRef, protocol: int, on_open: Callable[[], None]
    ) -> None:
        """
        Serve the agent until either side ends; raises SessionOverError with the reason.

        ``on_open`` is called once the agent has its inventory decisions.
        """
        cluster = session.cluster
        await self._put(
            frames.render_welcome(
                epoch=session.epoch,
                protocol=protocol,
                cluster=cluster.name,
                heartbeat=self._timings.heartbeat,
                self_fence=self._timings.self_fence,
                reassign_after=self._timings.reassign_after,
                now=self._clock.now(),
            )
        )
        self._state = rules.advance(self._state, FrameKind.HELLO)
        decisions = await self._reconcile_inventory(session)
        # Added before the decisions are sent: an agent that has them can be called.
        self._live.add((cluster.org, cluster.name), self._calls)
        try:
            await self._send_decisions(decisions)
            on_open()
            with self._feeds.work(cluster.org, cluster.name, self._work, self._is_relevant):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read(), name="link-read")
                    tasks.create_task(self._write(), name="link-write")
                    tasks.create_task(self._commit_reports(session), name="link-commit-reports")
                    tasks.create_task(self._hand_out(session), name="link-hand-out")
                    tasks.create_task(self._send_heartbeats(session), name="link-heartbeat")
                    tasks.create_task(self._call_server.run(session), name="link-forwarded-calls")
                    tasks.create_task(self._leave(), name="link-leave")
        finally:
            self._live.remove((cluster.org, cluster.name), self._calls)
            self._calls.close()

    async def _reconcile_inventory(
        self, session: AgentSessionRef
    ) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
        """Read the agent's inventory, and decide on each of its attempts."""
        try:
            async with asyncio.timeout(INVENTORY_TIMEOUT_SECONDS):
                inventory = await self._read_inventory()
        except TimeoutError as error:
            raise SessionOverError("silent", "the inventory was not complete in time") from error
        decisions = await self._agent_sessions.reconcile_inventory(session, inventory)
        log.info(
            "agent inventory reconciled",
            extra={"cluster": session.cluster.name, "holds": len(inventory)},
        )
        return decisions

    async def _send_decisions(
        self, decisions: Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]
    ) -> None:
        pages = range(0, len(decisions), DECISIONS_PER_FRAME) or range(1)
        for start in pages:
            await self._put(
                frames.render_inventory_decisions(
                    decisions[start : start + DECISIONS_PER_FRAME], last=start == pages[-1]
                )
            )

    async def _read_inventory(self) -> list[tuple[AttemptId, LeaseId]]:
        inventory: list[tuple[AttemptId, LeaseId]] = []
        while self._state is not State.OPEN:
            frame = await self._pipe.read()
            if frame is None:
                raise SessionOverError("closed", "the agent closed the stream")
            kind = frames.frame_kind(frame)
            if kind is None:
                continue
            self._state = rules.advance(self._state, kind)
            self._last_received_at = self._clock.now()
            if len(inventory) + len(frame.inventory.leases) > rules.MAX_INVENTORY:
                raise SessionOverError(
                    "too_much", f"the inventory lists more than {rules.MAX_INVENTORY} attempts"
                )
            inventory.extend(parse_lease(lease) for lease in frame.inventory.leases)
        return inventory

    async def _read(self) -> None:
        while (frame := await self._pipe.read()) is not None:
            kind = frames.frame_kind(frame)
            if kind is None:
                continue  # a frame of a later release
            self._state = rules.advance(self._state, kind)
            self._last_received_at = self._clock.now()
            match kind:
                case FrameKind.CREDIT:
                    self._credits.grant(frame.credit.total)
                    self._work.wake()
                case FrameKind.ACCEPTED:
                    rules.require_frame_size(len(frame.accepted.leases))
                    self._accepted.extend(parse_lease(lease) for lease in frame.accepted.leases)
                    self._reports_waiting.wake()
                    await self._wait_for_capacity()
                case FrameKind.REPORTS:
                    rules.require_frame_size(len(frame.reports.reports))
                    self._reports.extend(parse_report(each) for each in frame.reports.reports)
                    self._reports_waiting.wake()
                    await self._wait_for_capacity()
                case FrameKind.REPLY:
                    self._calls.take(frame.reply)
                case FrameKind.HEARTBEAT:
                    self._heartbeat = frame.heartbeat
                    self._counted_at = self._last_received_at
                case _:
                    pass  # advance() has refused all other kinds
        raise SessionOverError("closed", "the agent closed the stream")

    async def _wait_for_capacity(self) -> None:
        """Stop reading while too much is uncommitted; gRPC's flow control then blocks the agent."""
        while len(self._reports) + len(self._accepted) + len(self._locked) > MAX_UNCOMMITTED:
            self._capacity.clear()
            await self._capacity.wait()
            self._last_received_at = self._clock.now()  # it was this side that did not read

    async def _write(self) -> None:
        while True:
            await self._put(await self._outgoing.get())
            self._outgoing.task_done()

    async def _put(self, frame: link_pb2.ControlFrame) -> None:
        try:
            async with asyncio.timeout(self._timings.silent_after.total_seconds()):
                await self._pipe.write(frame)
        except TimeoutError as error:
            raise SessionOverError("slow", "the agent does not read its frames") from error

    async def _commit_reports(self, session: AgentSessionRef) -> None:
        while True:
            if not (self._accepted or self._reports):
                await self._reports_waiting.wait(
                    at_most=LOCK_RETRY if self._locked else POLL_INTERVAL
                )
                if not (self._accepted or self._reports or self._locked):
                    continue
            accepted = _take(self._accepted, len(self._accepted))
            reports = _take(self._reports, REPORTS_PER_COMMIT)
            async with self._commit_lock:
                # Locked reports go first, so that no report overtakes an earlier one.
                committed = await self._agent_sessions.commit_reports(
                    session, accepted, [*self._locked, *reports]
                )
                self._locked = committed.locked
                self._capacity.set()
                if committed.accepted.confirmed:
                    self._send(frames.render_confirmed(committed.accepted.confirmed))
                if committed.accepted.stops:
                    self._send(frames.render_stops(committed.accepted.stops))
                if committed.accepted.not_leased:
                    self._send(frames.render_forget(committed.accepted.not_leased))
                self._acknowledge(committed)
                if self._locked:
                    committed = await self._agent_sessions.settle_locked(session, self._locked)
                    self._locked = committed.locked
                    self._acknowledge(committed)

    def _acknowledge(self, committed: CommittedReports) -> None:
        self._metrics.answered(committed.acknowledged)
        if committed.acknowledged:
            self._send(frames.render_acknowledgements(committed.acknowledged))

    async def _leave(self) -> None:
        """End the session after ``leave``, between two commits, once all frames are written."""
        await self._leaving.wait()
        await self._clock.sleep(self._leave_after)
        await self._stopped_leasing.wait()
        async with self._commit_lock:
            await self._outgoing.join()
            raise SessionOverError("stopping", "this replica is stopping; connect again")

    async def _hand_out(self, session: AgentSessionRef) -> None:
        while not self._leaving.is_set():
            most = min(self._credits.room, CLAIM_AT_ONCE)
            self._is_claiming = True
            found = await self._agent_sessions.hand_out(session, most, self._scheduler)
            self._send_spec(found.spec)
            self._is_claiming = False
            if found.assignments:
                await self._assign(session, found.assignments)
                continue
            self._send_stops(found.stops)
            if not self._leaving.is_set() and await self._work.wait(at_most=self._pause(found)):
                self._scheduler.reset_skips()
        self._stopped_leasing.set()

    def _is_relevant(self, pools: Collection[str]) -> bool:
        """
        Return whether a notification of work in these pools is worth a transaction.

        Without credit it is not: a grant of credit wakes the loop anyway. While a claim is
        under way, neither the pool nor the credit left after it is known.
        """
        if self._is_claiming or self._spec is None:
            return True
        return (
            self._credits.room > 0
            and self._spec.takes_work
            and (ANY_POOL in pools or self._spec.pool in pools)
        )

    def _send_spec(self, spec: ClusterSpec) -> None:
        """Send the agent its cluster's desired state, if that has changed."""
        if self._spec is None or self._spec.version != spec.version:
            self._send(frames.render_desired_state(spec))
            self._work.wake()  # the cluster may have been uncordoned
        self._spec = spec

    async def _assign(self, session: AgentSessionRef, assignments: Sequence[Assignment]) -> None:
        self._credits.spend(len(assignments))
        self._metrics.assignments.inc(len(assignments))
        for start in range(0, len(assignments), ASSIGN_AT_ONCE):
            part = assignments[start : start + ASSIGN_AT_ONCE]
            named = {digest for each in part for digest in (each.task_spec, each.run_spec)}
            missing = named - self._sent_specs
            specs = await self._agent_sessions.find_specs(session, missing) if missing else {}
            for frame in frames.render_assignments(part, specs):
                self._send(frame)
            self._sent_specs |= missing
            if missing:  # specs may be large: queue no more of them than the agent reads
                await self._outgoing.join()

    def _send_stops(self, stops: Sequence[LeaseRecord]) -> None:
        new = [each for each in stops if each.lease not in self._sent_stops]
        if new:
            self._send(frames.render_stops(new))
        self._sent_stops = {each.lease for each in stops}

    def _pause(self, found: HandOut) -> timedelta:
        """Return how long until waiting work may be leased, at most the poll interval."""
        if found.next_at is None:
            return POLL_INTERVAL
        wait = found.next_at - self._clock.now()
        return min(max(wait, RETRY_INTERVAL), POLL_INTERVAL)

    async def _send_heartbeats(self, session: AgentSessionRef) -> None:
        number = 0
        while True:
            await self._clock.sleep(self._timings.heartbeat)
            now = self._clock.now()
            self._last_received_at = min(self._last_received_at, now)  # if the clock was set back
            if (
                self._capacity.is_set()
                and now - self._last_received_at > self._timings.silent_after
            ):
                raise SessionOverError("silent", "the agent sent no frame in time")
            heartbeat = self._heartbeat
            load = AgentLoad(
                held=min(heartbeat.held, rules.MAX_INVENTORY),
                running=min(heartbeat.running, rules.MAX_INVENTORY),
                slots=min(self._credits.room, rules.MAX_CREDIT_AHEAD),
                counted_at=self._counted_at,
            )
            self._send_spec(await self._agent_sessions.record_heartbeat(session, load))
            number += 1
            self._send(frames.render_heartbeat(number, now, noted=heartbeat.number))

    def _send(self, frame: link_pb2.ControlFrame) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull as error:
            raise SessionOverError("slow", "the agent does not read its frames") from error

    def _request_send(self, frame: link_pb2.ControlFrame) -> None:
        """Send a frame for a caller outside the session; if the queue is full it gets the error."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull as error:
            raise UnavailableError("the cluster's agent reads too slowly; try again") from error


def _take(waiting: deque[T], most: int) -> list[T]:
    return [waiting.popleft() for _ in range(min(len(waiting), most))]
