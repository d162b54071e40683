"""
Runs attempts: one coroutine for each, from its start until its end is in the ledger.

A stop carries its reason; a runtime only knows that it was stopped, so the reason is turned
into a phase and failure here. When the agent ends it releases its attempts; the next agent
resumes those that are active in the ledger.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from dataplane.agent.core.capacity import Slots
from dataplane.agent.core.endings import CUT_OFF
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.loops.attempt_spans import AttemptSpans
from dataplane.agent.loops.specs import SpecMissingError, Specs
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.runtime_selection import Runtimes
from dataplane.agent.runtimes.tasks import BadSpecError, parse_run_settings, parse_task
from shared.kit.clock import Clock
from shared.kit.log_context import log_fields
from shared.kit.wakeup import Wakeup
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from shared.model.traces import describe_action
from shared.traces.spans import NO_SPANS, SpanRecorder

logger = logging.getLogger(__name__)


class Reason(Enum):
    """Reason for stopping an attempt."""

    DESIRED_STATE = auto()  # the control plane aborted it
    LEASE_LOST = auto()  # its lease was revoked
    AGENT_STOPPED = auto()
    CUT_OFF = auto()  # no contact for too long: it may be leased to another agent


# No one asked for these attempts to stop: a retry does what they would have done.
_FAILURES = {
    Reason.AGENT_STOPPED: Failure(
        code="AgentStopped",
        kind=FailureKind.PREEMPTION,  # retried as often as the agent is stopped
        message="the cluster's agent was stopped, and the attempt with it",
    ),
    Reason.CUT_OFF: CUT_OFF,
}


@dataclass(slots=True)
class _Running:
    active: ActiveAttempt
    needs_process: bool
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reason: Reason | None = None
    task: "asyncio.Task[None] | None" = None

    @property
    def is_released(self) -> bool:
        """Whether the agent no longer follows the attempt, although it may still run."""
        return self.task is None or self.task.done() or self.task.cancelling() > 0


class Attempts:
    def __init__(
        self,
        ledger: Ledger,
        runtimes: Runtimes,
        wakeup: Wakeup,
        clock: Clock,
        *,
        take_along: timedelta | None = None,
        spans: SpanRecorder = NO_SPANS,
    ) -> None:
        """``take_along``: stop processes when the agent ends, and wait this long for them."""
        self._ledger = ledger
        self._runtimes = runtimes
        self._specs = Specs(ledger)
        self._wakeup = wakeup
        self._clock = clock
        self._take_along = take_along
        self._spans = AttemptSpans(spans)
        self._running: dict[AttemptId, _Running] = {}
        self.slots = Slots()
        self._tasks: asyncio.TaskGroup | None = None
        self._ended = asyncio.Condition()
        self.started = asyncio.Event()
        self.moved_at = clock.now()  # when a process last started or ended

    def __repr__(self) -> str:
        return f"<Attempts running={len(self._running)}>"

    def __contains__(self, attempt: AttemptId) -> bool:
        return attempt in self._running

    def __len__(self) -> int:
        return len(self._running)

    async def run(self) -> None:
        """Run attempts until cancelled; resume those that an earlier agent started."""
        async with asyncio.TaskGroup() as self._tasks:
            begun = [active for active in self._ledger.active.values() if active.version > 0]
            self.begin(active for active in begun if not active.is_over)
            if self._running:
                logger.info("attempts resumed", extra={"count": len(self._running)})
            self.started.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await self._release()

    def begin(self, attempts: Iterable[ActiveAttempt]) -> None:
        """Start the attempts that do not run yet."""
        if self._tasks is None:
            raise RuntimeError("attempts are not being run")
        for active in attempts:
            attempt = active.assignment.attempt
            if attempt in self._running or active.is_over:
                continue
            running = _Running(active, self._runtimes.needs_process(active.assignment.task_type))
            self._running[attempt] = running
            if running.needs_process:
                self.slots.add(active.assignment)
                self.moved_at = self._clock.now()
            running.task = self._tasks.create_task(
                self._run_attempt(running), name=f"attempt {active.assignment.key}"
            )

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run ``work`` in a task that neither delays a session nor ends with it."""
        if self._tasks is None:
            raise RuntimeError("attempts are not being run")
        self._tasks.create_task(work, name=name)

    def stop(self, attempt: AttemptId, reason: Reason) -> None:
        """Signal an attempt to stop; the first reason given counts."""
        running = self._running.get(attempt)
        if running is not None and running.reason is None:
            logger.info("attempt stopping", extra={"attempt": str(attempt), "reason": reason.name})
            running.reason = reason
            running.stop.set()

    async def wait_until_ended(self) -> None:
        """Wait until no attempt runs."""
        async with self._ended:
            await self._ended.wait_for(lambda: not self._running)

    def stop_replaceable(self) -> int:
        """Stop attempts that may be leased to another agent; return how many were running."""
        replaceable = [
            attempt
            for attempt, running in self._running.items()
            if running.active.assignment.replaceable and running.reason is None
        ]
        for attempt in replaceable:
            self.stop(attempt, Reason.CUT_OFF)
        return len(replaceable)

    async def _run_attempt(self, running: _Running) -> None:
        """Run one attempt to its end and record that in the ledger."""
        assignment = running.active.assignment

        def fields() -> Mapping[str, object]:
            return {
                **describe_action(assignment.org, assignment.key),
                "attempt": assignment.attempt.number,
            }

        with log_fields(fields):
            await self._run_to_its_end(running)

    async def _run_to_its_end(self, running: _Running) -> None:
        attempt = running.active.assignment.attempt
        if not await self._ledger.written(running.active.lease):
            self._drop(running)
            async with self._ended:
                self._ended.notify_all()
            return
        try:
            update = await self._run(running)
        except LedgerError:
            raise  # the agent cannot go on without its ledger
        except Exception:
            logger.exception("attempt failed inside the agent", extra={"attempt": str(attempt)})
            update = await self._give_up(running)
        if update.phase is Phase.ABORTED and running.reason in _FAILURES:
            update = StatusUpdate(phase=Phase.FAILED, failure=_FAILURES[running.reason])
        now = self._clock.now()
        began = [StatusUpdate(phase=Phase.RUNNING)] if update.phase is Phase.SUCCEEDED else []
        await self._ledger.record(attempt, [*began, update], now)
        self._spans.ended(running.active, update, now)
        self._drop(running)
        if running.needs_process:
            self._note_end(running.active.assignment, update, now)
        async with self._ended:
            self._ended.notify_all()
        self._wakeup.wake()

    def _drop(self, running: _Running) -> None:
        assignment = running.active.assignment
        del self._running[assignment.attempt]
        if running.needs_process:
            self.slots.remove(assignment)

    async def _give_up(self, running: _Running) -> StatusUpdate:
        """Stop the attempt before reporting an agent error, so that no retry runs concurrently."""
        attempt = running.active.assignment.attempt
        running.stop.set()
        try:
            update = await self._run(running)
        except LedgerError:
            raise
        except Exception:
            logger.exception("attempt not stopped", extra={"attempt": str(attempt)})
        else:
            if running.reason is not None or update.phase is not Phase.ABORTED:
                return update
        return _failed(
            "AgentError",
            FailureKind.SYSTEM,
            "the agent failed while it ran the attempt; see the agent's log",
        )

    async def _run(self, running: _Running) -> StatusUpdate:
        assignment = running.active.assignment
        known = self._ledger.active.get(assignment.attempt, running.active)
        job = Job(
            assignment=assignment,
            task=replace(parse_task(b""), type=assignment.task_type),
            run=parse_run_settings(b""),
            accepted_at=running.active.accepted_at,
            last_reported=known.phase,
            last_reported_reason=known.reason,
        )
        try:
            task = await self._specs.task(assignment.task_spec)
            run = await self._specs.run_settings(assignment.run_spec)
        except BadSpecError as error:
            failed = _failed("BadSpec", FailureKind.USER, str(error))
        except SpecMissingError as error:
            failed = _failed("SpecMissing", FailureKind.SYSTEM, str(error))
        else:
            return await self._run_job(replace(job, task=task, run=run), running.stop)
        if known.phase is not Phase.QUEUED:
            # An earlier agent could read the spec and started it; now it can only be stopped.
            running.stop.set()
            await self._run_job(job, running.stop)
        return failed

    async def _run_job(self, job: Job, stop: asyncio.Event) -> StatusUpdate:
        async def report_status(update: StatusUpdate) -> None:
            now = self._clock.now()
            await self._ledger.record(job.assignment.attempt, [update], now)
            if update.phase is Phase.RUNNING:
                self._spans.started(job.assignment, job.accepted_at, now)
            self._wakeup.wake()

        return await self._runtimes.choose(job).run(job, report_status, stop)

    def _note_end(self, assignment: Assignment, update: StatusUpdate, now: datetime) -> None:
        self.moved_at = now
        fields = {
            "action": str(assignment.key),
            "attempt": assignment.attempt.number,
            "phase": update.phase.name,
        }
        if update.failure is not None:
            fields["code"] = update.failure.code
        logger.info("attempt ended", extra=fields)

    async def _release(self) -> None:
        """Leave the attempts to their shims when the agent ends, or stop them if configured."""
        processes = {
            attempt
            for attempt, running in self._running.items()
            if running.needs_process and not running.is_released
        }
        if self._take_along is None or not processes:
            return
        for attempt in processes:
            self.stop(attempt, Reason.AGENT_STOPPED)
        try:
            async with asyncio.timeout(self._take_along.total_seconds()), self._ended:
                await self._ended.wait_for(lambda: not processes & self._running.keys())
        except TimeoutError:
            remaining = len(processes & self._running.keys())
            logger.warning("attempts left running", extra={"count": remaining})


def _failed(code: str, kind: FailureKind, message: str) -> StatusUpdate:
    return StatusUpdate(phase=Phase.FAILED, failure=Failure(code=code, kind=kind, message=message))
