"""
One agent's stream, pumped: frames in, the store's answers out, work when there is credit.

A few tasks share a session. One reads; one writes down what was read, everything that
waits in one commit; one leases and stops; one keeps the heartbeat; one answers what other
replicas ask of the agent. The first that ends ends them all, and the agent comes back.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from controlplane.core import sessions as rules
from controlplane.core.clusters import AgentLoad, ClusterWishes
from controlplane.core.errors import UnavailableError
from controlplane.core.queues import ANY_POOL
from controlplane.core.sessions import Credits, HeldLease, Judgement, Said, State
from controlplane.core.tempo import Tempo
from controlplane.core.turns import Rotation
from controlplane.feeds.feeds import Feeds
from controlplane.link import frames
from controlplane.link.calls import Calls, LiveCalls
from controlplane.link.metrics import LinkMetrics
from controlplane.link.relays import Answering
from controlplane.usecases.relays import Relays
from controlplane.usecases.sessions import HandOut, SessionRef, Sessions, Settled
from shared.idl.agent.v1 import link_pb2
from shared.kit.clock import Clock
from shared.kit.waking import Bell
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.reports import Report
from shared.wire.ids import parse_lease
from shared.wire.reports import parse_report

log = logging.getLogger(__name__)

T = TypeVar("T")

CLAIM_AT_ONCE = 250
ASSIGN_AT_ONCE = 32  # assignments whose specs are read together
SETTLE_AT_ONCE = 500  # reports in one commit
MOST_UNSETTLED = 5_000  # reports read and not committed; past that we stop reading
VERDICTS_AT_ONCE = 1_000
FRAMES_AHEAD = 1_000  # to be written; past that the session is too slow to go on
STOCK_SECONDS = 60.0  # for the whole inventory
LOOK_AROUND = timedelta(seconds=15)  # how often work is looked for without being told
LOCK_RETRY = timedelta(milliseconds=100)  # when reports wait for a locked run
LOOK_AGAIN = timedelta(milliseconds=50)  # when what waits is held up by a limit or a lock


class Pipe(Protocol):
    """gRPC's stream, narrowed; None is its end."""

    async def read(self) -> link_pb2.AgentFrame | None: ...
    async def write(self, frame: link_pb2.ControlFrame) -> None: ...


class SessionOverError(Exception):
    """The session ends; ``code`` and the text are told to the agent."""

    def __init__(self, code: str, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry


class Session:
    def __init__(
        self,
        pipe: Pipe,
        *,
        sessions: Sessions,
        feeds: Feeds,
        live: LiveCalls,
        relays: Relays,
        clock: Clock,
        tempo: Tempo,
        metrics: LinkMetrics,
    ) -> None:
        self._pipe = pipe
        self._sessions = sessions
        self._feeds = feeds
        self._live = live
        self._clock = clock
        self._tempo = tempo
        self._metrics = metrics
        self._state = State.GREETING
        self._credits = Credits()
        self._rotation = Rotation()
        self._sent_specs: set[Digest] = set()
        self._sent_stops: set[LeaseId] = set()
        self._outgoing: asyncio.Queue[link_pb2.ControlFrame] = asyncio.Queue(FRAMES_AHEAD)
        self._work = Bell()
        self._settle = Bell()
        self._room = asyncio.Event()
        self._room.set()
        self._accepted: deque[tuple[AttemptId, LeaseId]] = deque()
        self._reports: deque[Report] = deque()
        self._locked: Sequence[Report] = ()  # reports on runs that another transaction holds
        self._calls = Calls(self._ask)
        self._answering = Answering(self._calls, relays, feeds)
        self._leaving = asyncio.Event()
        self._leave_after = timedelta()
        self._leases_no_more = asyncio.Event()
        self._settling = asyncio.Lock()
        self._heard_at = clock.now()
        self._heartbeat = link_pb2.Heartbeat()  # the latest heard
        self._counted_at: datetime | None = None  # when that was
        self._wishes: ClusterWishes | None = None
        self._is_claiming = False

    def leave(self, *, after: timedelta) -> None:
        """Lease nothing more, and end after this time: the agent is to go to another replica."""
        self._leave_after = after
        self._leaving.set()
        self._work.ring()

    async def run(self, session: SessionRef, protocol: int, greeted: Callable[[], None]) -> None:
        """
        Serve the agent until either side ends; raises SessionOverError with the reason.

        ``greeted`` is called once the agent has its verdicts.
        """
        cluster = session.cluster
        await self._put(
            frames.render_welcome(
                epoch=session.epoch,
                protocol=protocol,
                cluster=cluster.name,
                heartbeat=self._tempo.heartbeat,
                self_fence=self._tempo.self_fence,
                reassign_after=self._tempo.reassign_after,
                now=self._clock.now(),
            )
        )
        self._state = rules.advance(self._state, Said.HELLO)
        judged = await self._take_stock(session)
        # First, because who saw the agent hear its verdicts may ask it something.
        self._live.add((cluster.org, cluster.name), self._calls)
        try:
            await self._tell_verdicts(judged)
            greeted()
            with self._feeds.work(cluster.org, cluster.name, self._work, self._takes):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read(), name="link-read")
                    tasks.create_task(self._write(), name="link-write")
                    tasks.create_task(self._settle_all(session), name="link-settle")
                    tasks.create_task(self._hand_out(session), name="link-hand-out")
                    tasks.create_task(self._beat(session), name="link-beat")
                    tasks.create_task(self._answering.run(session), name="link-answer")
                    tasks.create_task(self._leave(), name="link-leave")
        finally:
            self._live.remove((cluster.org, cluster.name), self._calls)
            self._calls.close()

    async def _take_stock(
        self, session: SessionRef
    ) -> Sequence[tuple[AttemptId, LeaseId, Judgement]]:
        """Hear what the agent holds, and judge it."""
        try:
            async with asyncio.timeout(STOCK_SECONDS):
                inventory = await self._read_inventory()
        except TimeoutError as error:
            raise SessionOverError("silent", "the inventory did not come to its end") from error
        judged = await self._sessions.take_stock(session, inventory)
        log.info(
            "agent took stock", extra={"cluster": session.cluster.name, "holds": len(inventory)}
        )
        return judged

    async def _tell_verdicts(self, judged: Sequence[tuple[AttemptId, LeaseId, Judgement]]) -> None:
        pages = range(0, len(judged), VERDICTS_AT_ONCE) or range(1)
        for start in pages:
            await self._put(
                frames.render_verdicts(
                    judged[start : start + VERDICTS_AT_ONCE], last=start == pages[-1]
                )
            )

    async def _read_inventory(self) -> list[tuple[AttemptId, LeaseId]]:
        inventory: list[tuple[AttemptId, LeaseId]] = []
        while self._state is not State.OPEN:
            frame = await self._pipe.read()
            if frame is None:
                raise SessionOverError("closed", "the agent closed the stream")
            said = frames.what_was_said(frame)
            if said is None:
                continue
            self._state = rules.advance(self._state, said)
            self._heard_at = self._clock.now()
            if len(inventory) + len(frame.inventory.leases) > rules.MAX_INVENTORY:
                raise SessionOverError(
                    "too_much", f"the inventory lists more than {rules.MAX_INVENTORY} attempts"
                )
            inventory.extend(parse_lease(lease) for lease in frame.inventory.leases)
        return inventory

    async def _read(self) -> None:
        while (frame := await self._pipe.read()) is not None:
            said = frames.what_was_said(frame)
            if said is None:
                continue  # a frame of a later release
            self._state = rules.advance(self._state, said)
            self._heard_at = self._clock.now()
            match said:
                case Said.CREDIT:
                    self._credits.grant(frame.credit.total)
                    self._work.ring()
                case Said.ACCEPTED:
                    rules.require_frame_size(len(frame.accepted.leases))
                    self._accepted.extend(parse_lease(lease) for lease in frame.accepted.leases)
                    self._settle.ring()
                    await self._wait_for_room()
                case Said.REPORTS:
                    rules.require_frame_size(len(frame.reports.reports))
                    self._reports.extend(parse_report(each) for each in frame.reports.reports)
                    self._settle.ring()
                    await self._wait_for_room()
                case Said.REPLY:
                    self._calls.take(frame.reply)
                case Said.HEARTBEAT:
                    self._heartbeat = frame.heartbeat
                    self._counted_at = self._heard_at
                case _:
                    pass  # the table lets nothing else through
        raise SessionOverError("closed", "the agent closed the stream")

    async def _wait_for_room(self) -> None:
        """Stop reading while too much is read and not committed; gRPC then holds the agent up."""
        while len(self._reports) + len(self._accepted) + len(self._locked) > MOST_UNSETTLED:
            self._room.clear()
            await self._room.wait()
            self._heard_at = self._clock.now()  # it was we who did not listen

    async def _write(self) -> None:
        while True:
            await self._put(await self._outgoing.get())
            self._outgoing.task_done()

    async def _put(self, frame: link_pb2.ControlFrame) -> None:
        try:
            async with asyncio.timeout(self._tempo.silent_after.total_seconds()):
                await self._pipe.write(frame)
        except TimeoutError as error:
            raise SessionOverError("slow", "the agent does not read what we send") from error

    async def _settle_all(self, session: SessionRef) -> None:
        while True:
            if not (self._accepted or self._reports):
                await self._settle.wait(at_most=LOCK_RETRY if self._locked else LOOK_AROUND)
                if not (self._accepted or self._reports or self._locked):
                    continue
            accepted = _take(self._accepted, len(self._accepted))
            reports = _take(self._reports, SETTLE_AT_ONCE)
            async with self._settling:
                # With what is left from before, so that no report overtakes an earlier one.
                settled = await self._sessions.settle(session, accepted, [*self._locked, *reports])
                self._locked = settled.locked
                self._room.set()
                if settled.accepted.confirmed:
                    self._send(frames.render_confirmed(settled.accepted.confirmed))
                if settled.accepted.stops:
                    self._send(frames.render_stops(settled.accepted.stops))
                if settled.accepted.gone:
                    self._send(frames.render_forget(settled.accepted.gone))
                self._acknowledge(settled)
                if self._locked:
                    settled = await self._sessions.settle_locked(session, self._locked)
                    self._locked = settled.locked
                    self._acknowledge(settled)

    def _acknowledge(self, settled: Settled) -> None:
        self._metrics.answered(settled.acknowledged)
        if settled.acknowledged:
            self._send(frames.render_acknowledgements(settled.acknowledged))

    async def _leave(self) -> None:
        """End the session when told to, between two commits, with all that was said sent."""
        await self._leaving.wait()
        await self._clock.sleep(self._leave_after)
        await self._leases_no_more.wait()
        async with self._settling:
            await self._outgoing.join()
            raise SessionOverError("stopping", "this replica is stopping; connect again")

    async def _hand_out(self, session: SessionRef) -> None:
        while not self._leaving.is_set():
            most = min(self._credits.room, CLAIM_AT_ONCE)
            self._is_claiming = True
            found = await self._sessions.hand_out(session, most, self._rotation)
            self._wish(found.wishes)
            self._is_claiming = False
            if found.assignments:
                await self._assign(session, found.assignments)
                continue
            self._tell_stops(found.stops)
            if not self._leaving.is_set() and await self._work.wait(at_most=self._pause(found)):
                self._rotation.look_anew()
        self._leases_no_more.set()

    def _takes(self, pools: Collection[str]) -> bool:
        """
        Tell whether a notice of work in these pools is worth a transaction.

        Without credit it is not: whoever gives credit looks for work then. While a claim is
        under way it is not known which pool and how much credit will be ours after it.
        """
        if self._is_claiming or self._wishes is None:
            return True
        return (
            self._credits.room > 0
            and self._wishes.takes_work
            and (ANY_POOL in pools or self._wishes.pool in pools)
        )

    def _wish(self, wishes: ClusterWishes) -> None:
        """Tell the agent what is wanted of its cluster, when that has changed."""
        if self._wishes is None or self._wishes.version != wishes.version:
            self._send(frames.render_wanted(wishes))
            self._work.ring()  # it may be wanted to work again
        self._wishes = wishes

    async def _assign(self, session: SessionRef, assignments: Sequence[Assignment]) -> None:
        self._credits.spend(len(assignments))
        self._metrics.assignments.inc(len(assignments))
        for start in range(0, len(assignments), ASSIGN_AT_ONCE):
            part = assignments[start : start + ASSIGN_AT_ONCE]
            named = {digest for each in part for digest in (each.task_spec, each.run_spec)}
            wanted = named - self._sent_specs
            specs = await self._sessions.find_specs(session, wanted) if wanted else {}
            for frame in frames.render_assignments(part, specs):
                self._send(frame)
            self._sent_specs |= wanted
            if wanted:  # they may be large: have no more of them in memory than the agent reads
                await self._outgoing.join()

    def _tell_stops(self, stops: Sequence[HeldLease]) -> None:
        news = [each for each in stops if each.lease not in self._sent_stops]
        if news:
            self._send(frames.render_stops(news))
        self._sent_stops = {each.lease for each in stops}

    def _pause(self, found: HandOut) -> timedelta:
        """Sleep until something that waits may be leased, and not for long."""
        if found.next_at is None:
            return LOOK_AROUND
        wait = found.next_at - self._clock.now()
        return min(max(wait, LOOK_AGAIN), LOOK_AROUND)

    async def _beat(self, session: SessionRef) -> None:
        number = 0
        while True:
            await self._clock.sleep(self._tempo.heartbeat)
            now = self._clock.now()
            self._heard_at = min(self._heard_at, now)  # clocks are set back
            if self._room.is_set() and now - self._heard_at > self._tempo.silent_after:
                raise SessionOverError("silent", "nothing was heard from the agent")
            heard = self._heartbeat
            load = AgentLoad(
                held=min(heard.held, rules.MAX_INVENTORY),
                running=min(heard.running, rules.MAX_INVENTORY),
                slots=min(self._credits.room, rules.MAX_CREDIT_AHEAD),
                counted_at=self._counted_at,
            )
            self._wish(await self._sessions.touch(session, load))
            number += 1
            self._send(frames.render_heartbeat(number, now, noted=heard.number))

    def _send(self, frame: link_pb2.ControlFrame) -> None:
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull as error:
            raise SessionOverError("slow", "the agent does not read what we send") from error

    def _ask(self, frame: link_pb2.ControlFrame) -> None:
        """Send for somebody who waits outside; it is they who hear that there is no room."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull as error:
            raise UnavailableError("the cluster's agent is too slow to ask; try again") from error


def _take(waiting: deque[T], most: int) -> list[T]:
    return [waiting.popleft() for _ in range(min(len(waiting), most))]
