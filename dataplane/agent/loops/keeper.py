"""
Keeps the attempts: accepts, runs, stops and reports them. It is the desk of the link.

Everything accepted is started at once, and every attempt has one coroutine here from then
on until its end is written down. Stopping the agent lets go of them; the next agent goes
on with what the ledger holds.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from dataplane.agent.core import limits
from dataplane.agent.core.held import Held, News
from dataplane.agent.core.messages import (
    Accepted,
    Acknowledgements,
    AgentMessage,
    Assignments,
    Call,
    CallCancel,
    CallCredit,
    Lease,
    Reports,
    Stop,
    Stops,
    VerdictKind,
    Verdicts,
    Wanted,
    Welcome,
    Work,
)
from dataplane.agent.core.room import Load, count_slots, room
from dataplane.agent.ledger.database import LedgerError
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.loops.followers import Followers
from dataplane.agent.loops.specs import SpecMissingError, Specs
from dataplane.agent.runtimes.choice import Runtimes
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.clock import Clock
from shared.kit.waking import Bell
from shared.model.ids import AttemptId
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind, Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    held: Held
    needs_process: bool
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Keeper:
    def __init__(
        self,
        *,
        ledger: Ledger,
        runtimes: Runtimes,
        slots: int,
        free_memory: Callable[[], int],
        clock: Clock,
        stop_attempts: timedelta | None = None,
    ) -> None:
        """``stop_attempts``: end them when the agent ends, and wait so long for it."""
        self._ledger = ledger
        self._runtimes = runtimes
        self._specs = Specs(ledger)
        self._slots = slots
        self._free_memory = free_memory
        self._clock = clock
        self._stop_attempts = stop_attempts
        self._bell = Bell()
        self._followers = Followers(runtimes.process, self._bell)
        self._running: dict[AttemptId, _Running] = {}
        self._arriving = 0
        self._accepted: list[Lease] = []
        self._wanted = Wanted()
        self._moved_at = clock.now()
        self._tasks: asyncio.TaskGroup | None = None
        self._started = asyncio.Event()
        self._emptied = asyncio.Event()
        self._letting_go: set[AttemptId] = set()

    def __repr__(self) -> str:
        return f"<Keeper running={len(self._running)} {self._ledger!r}>"

    async def run(self) -> None:
        """Keep attempts until cancelled; go on with those the ledger holds."""
        async with asyncio.TaskGroup() as self._tasks:
            for held in self._ledger.held.values():
                if not held.is_over:
                    self._begin(held)
            if self._running:
                logger.info("going on with attempts", extra={"count": len(self._running)})
            self._started.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await self._let_go()

    # The desk.

    @property
    def bell(self) -> Bell:
        return self._bell

    async def begin(self) -> Sequence[Lease]:
        await self._started.wait()
        self._accepted.clear()  # the inventory says it as well
        await self._ledger.begin_session()
        return self._ledger.leases()

    async def welcome(self, welcome: Welcome) -> None:
        logger.info(
            "connected to the control plane",
            extra={"cluster": welcome.cluster, "epoch": welcome.epoch},
        )
        self._wanted = Wanted()
        await self._ledger.remember_epoch(welcome.epoch)

    async def take(self, message: Work) -> None:
        match message:
            case Assignments():
                await self._accept(message)
            case Acknowledgements():
                await self._settle(message)
            case Verdicts():
                for lease, kind in message.verdicts:
                    if kind is not VerdictKind.KEEP:
                        forget = kind is VerdictKind.FORGET
                        await self._stop(Stop(lease=lease, reason="verdict", forget=forget))
            case Stops():
                for stop in message.stops:
                    await self._stop(stop)
            case Wanted():
                self._wanted = message
            case Call():
                self._followers.begin(message, self._group())
            case CallCredit():
                self._followers.extend(message)
            case CallCancel():
                self._followers.cancel(message)

    def room(self) -> int:
        if self._wanted.cordoned or self._wanted.draining:
            return 0
        processes = [item.held.assignment for item in self._running.values() if item.needs_process]
        load = Load(
            processes=count_slots(processes),
            inline=len(self._running) - len(processes),
            arriving=self._arriving,
            still_for=self._clock.now() - self._moved_at,
            free_memory=self._free_memory(),
        )
        return room(load, self._slots)

    def due(self) -> Sequence[AgentMessage]:
        messages: list[AgentMessage] = []
        if self._accepted:
            messages.append(Accepted(self._accepted[: limits.FRAME_ITEMS]))
            del self._accepted[: limits.FRAME_ITEMS]
        reports = self._ledger.outbox.take()
        if reports:
            messages.append(Reports(reports))
        messages += self._followers.take_replies()
        return messages

    async def end(self) -> None:
        self._followers.end()

    # What happens behind it.

    async def _accept(self, message: Assignments) -> None:
        self._arriving += len(message.assignments)
        try:
            fresh = await self._ledger.accept(message.assignments, message.specs, self._clock.now())
        finally:
            self._arriving -= len(message.assignments)
        for assignment in message.assignments:
            lease = Lease(assignment.attempt, assignment.lease)
            if self._ledger.knows(lease):
                self._accepted.append(lease)
            else:
                logger.error(
                    "an assignment was not accepted: the attempt is held under another lease",
                    extra={"attempt": str(assignment.attempt)},
                )
        for held in fresh:
            self._begin(held)
        self._bell.ring()

    async def _settle(self, message: Acknowledgements) -> None:
        for item in message.acknowledgements:
            if item.verdict is Verdict.STALE:
                await self._forget(item.attempt)
        await self._ledger.settle(
            item for item in message.acknowledgements if item.verdict is not Verdict.STALE
        )

    async def _stop(self, stop: Stop) -> None:
        held = self._ledger.held.get(stop.lease.attempt)
        if held is None or held.lease != stop.lease:
            return  # over and settled: there is nothing to stop
        if stop.forget:
            await self._forget(stop.lease.attempt)
        elif stop.lease.attempt in self._running:
            logger.info(
                "stopping an attempt",
                extra={"attempt": str(stop.lease.attempt), "reason": stop.reason},
            )
            self._running[stop.lease.attempt].stop.set()

    async def _forget(self, attempt: AttemptId) -> None:
        """It is not ours any more: stop it and say nothing."""
        running = self._running.get(attempt)
        if running is not None:
            logger.warning("an attempt is not ours any more", extra={"attempt": str(attempt)})
            running.stop.set()
        await self._ledger.forget([attempt])

    def _begin(self, held: Held) -> None:
        running = _Running(held, self._runtimes.needs_process(held.assignment.task_type))
        self._running[held.assignment.attempt] = running
        if running.needs_process:
            self._moved_at = self._clock.now()
        self._group().create_task(self._keep(running), name=f"attempt {held.assignment.key}")

    async def _keep(self, running: _Running) -> None:
        """Run one attempt to its end and write that down."""
        attempt = running.held.assignment.attempt
        try:
            news = await self._run_attempt(running)
        except LedgerError:
            raise  # the agent cannot go on without its memory
        except Exception:
            logger.exception("an attempt failed inside the agent", extra={"attempt": str(attempt)})
            news = _failed("AgentError", FailureKind.SYSTEM, "the agent failed; its log says how")
        if news.phase is Phase.ABORTED and attempt in self._letting_go:
            # Nobody wished it away: tried again, it does what it would have done.
            news = _failed("AgentStopped", FailureKind.SYSTEM, "its cluster's agent was stopped")
        now = self._clock.now()
        started = [News(phase=Phase.RUNNING)] if news.phase is Phase.SUCCEEDED else []
        await self._ledger.record(attempt, [*started, news], now)
        del self._running[attempt]
        if running.needs_process:
            self._moved_at = now
            logger.info(
                "attempt ended",
                extra={
                    "action": str(running.held.assignment.key),
                    "attempt": attempt.number,
                    "phase": news.phase.name,
                    **({"code": news.failure.code} if news.failure else {}),
                },
            )
        self._letting_go.discard(attempt)
        if not self._letting_go:
            self._emptied.set()
        self._bell.ring()

    async def _run_attempt(self, running: _Running) -> News:
        assignment = running.held.assignment
        try:
            job = Job(
                assignment=assignment,
                task=await self._specs.task(assignment.task_spec),
                run=await self._specs.run_settings(assignment.run_spec),
                accepted_at=running.held.accepted_at,
            )
        except BadSpecError as error:
            return _failed("BadSpec", FailureKind.USER, str(error))
        except SpecMissingError as error:
            return _failed("SpecMissing", FailureKind.SYSTEM, str(error))

        async def tell(news: News) -> None:
            await self._ledger.record(assignment.attempt, [news], self._clock.now())
            self._bell.ring()

        return await self._runtimes.choose(job.task).run(job, tell, running.stop)

    async def _let_go(self) -> None:
        """The agent ends: leave the attempts to their shims, or stop them if so wanted."""
        if self._stop_attempts is None:
            return
        processes = {at: item for at, item in self._running.items() if item.needs_process}
        if not processes:
            return
        logger.info("stopping all attempts", extra={"count": len(processes)})
        self._emptied.clear()
        for attempt, running in processes.items():
            if not running.stop.is_set():
                self._letting_go.add(attempt)
                running.stop.set()
        try:
            async with asyncio.timeout(self._stop_attempts.total_seconds()):
                await self._emptied.wait()
        except TimeoutError:
            logger.warning("attempts are left running", extra={"count": len(self._letting_go)})

    def _group(self) -> asyncio.TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the keeper is not running")
        return self._tasks


def _failed(code: str, kind: FailureKind, message: str) -> News:
    return News(phase=Phase.FAILED, failure=Failure(code=code, kind=kind, message=message))
