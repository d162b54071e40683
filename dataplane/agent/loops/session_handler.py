"""
Session handler of the agent: records and acts on received messages, returns due messages.

An attempt is accepted once it is in the ledger, and started once the control plane has
confirmed that it recorded the acceptance: until then it may be leased to another agent.
Attempts are never queued here for lack of capacity; only the credit limits how many come.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime

from dataplane.agent.core import link_limits
from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from dataplane.agent.core.capacity import Load, capacity
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.loops.attempts import Attempts, Reason
from dataplane.agent.loops.fence import Fence
from dataplane.agent.loops.findings import FindingsLoop
from dataplane.agent.loops.log_followers import LogFollowers
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.assignments import UnknownAssignment
from shared.model.findings import Findings
from shared.model.ids import AttemptId
from shared.model.link_messages import (
    Accepted,
    Acknowledgements,
    AgentMessage,
    Assignments,
    Call,
    CallCancel,
    CallCredit,
    Confirmed,
    DesiredState,
    InventoryDecision,
    InventoryDecisions,
    Lease,
    Reports,
    Stop,
    Stops,
    Welcome,
    Work,
)
from shared.model.phases import Phase
from shared.model.reports import AckStatus, Failure, FailureKind, Report

logger = logging.getLogger(__name__)


class AgentSessionHandler:
    def __init__(
        self,
        *,
        ledger: Ledger,
        attempts: Attempts,
        followers: LogFollowers,
        fence: Fence,
        wakeup: Wakeup,
        slots: int,
        free_memory: Callable[[], int],
        clock: Clock,
        findings: FindingsLoop | None = None,
    ) -> None:
        """``findings``: of the agent's checks, which each session sends."""
        self._ledger = ledger
        self._attempts = attempts
        self._followers = followers
        self._fence = fence
        self._wakeup = wakeup
        self._slots = slots
        self._free_memory = free_memory
        self._clock = clock
        self._arriving = 0
        self._unconfirmed: set[AttemptId] = set()
        self._accepted: list[Lease] = []  # not yet sent
        self._refused: list[Report] = []  # not yet sent; not in the ledger
        self._desired = DesiredState()
        self._findings = findings
        self._sent_findings: Findings | None = None  # in this session

    def __repr__(self) -> str:
        unconfirmed = len(self._unconfirmed)
        return f"<AgentSessionHandler {unconfirmed=} {self._ledger!r} {self._attempts!r}>"

    @property
    def wakeup(self) -> Wakeup:
        return self._wakeup

    async def begin(self) -> Sequence[Lease]:
        await self._attempts.started.wait()
        self._accepted.clear()  # the inventory lists them as well
        self._refused.clear()  # these are not accepted, so they are assigned again
        self._sent_findings = None
        await self._ledger.begin_session()
        self._unconfirmed = {
            attempt
            for attempt, active in self._ledger.active.items()
            if attempt not in self._attempts and not active.is_over
        }
        return self._ledger.leases()

    async def welcome(self, welcome: Welcome) -> None:
        logger.info(
            "connected to the control plane",
            extra={"cluster": welcome.cluster, "epoch": welcome.epoch},
        )
        self._desired = DesiredState()
        if self._findings is not None:
            self._findings.note_skew(self._clock.now() - welcome.server_time)
        await self._ledger.remember_session(welcome, self._clock.now())

    async def record_heartbeat(self, at: datetime) -> None:
        await self._ledger.remember_heartbeat(min(at, self._clock.now()))  # clock may be set back
        self._fence.move_on()

    async def take(self, message: Work) -> None:
        match message:
            case Assignments():
                self._arriving += len(message.assignments)
                await self._spawn(self._accept(message), "accept")
                for unknown in message.unknown:
                    self._refuse(unknown)
            case Confirmed():
                self._confirm(message.leases)
            case Acknowledgements():
                await self._acknowledge(message)
            case InventoryDecisions():
                await self._apply_decisions(message)
            case Stops():
                for stop in message.stops:
                    await self._stop(stop)
            case DesiredState():
                self._desired = message
                if message.end_attempts:
                    await self._stop_all()
            case Call():
                self._followers.begin(message)
            case CallCredit():
                self._followers.extend(message)
            case CallCancel():
                self._followers.cancel(message)

    async def end_attempts(self) -> tuple[int, int]:
        before = len(self._attempts)
        await self._stop_all()
        try:
            async with asyncio.timeout(link_limits.END_ATTEMPTS_WITHIN.total_seconds()):
                await self._attempts.wait_until_ended()
        except TimeoutError:
            logger.warning("attempts not ended in time", extra={"count": len(self._attempts)})
        return before - len(self._attempts), len(self._attempts)

    def capacity(self) -> int:
        desired = self._desired
        if desired.cordoned or desired.draining or desired.end_attempts:
            return 0
        slots = self._attempts.slots
        load = Load(
            processes=slots.taken,
            inline=len(self._attempts) - len(slots),
            arriving=self._arriving + len(self._unconfirmed),
            still_for=self._clock.now() - self._attempts.moved_at,
            free_memory=self._free_memory(),
        )
        return capacity(load, self._slots)

    def holding(self) -> tuple[int, int]:
        return len(self._ledger.active), len(self._attempts)

    def due(self) -> Sequence[AgentMessage]:
        messages: list[AgentMessage] = []
        if self._accepted:
            messages.append(Accepted(self._accepted[: link_limits.FRAME_ITEMS]))
            del self._accepted[: link_limits.FRAME_ITEMS]
        if self._refused:
            messages.append(Reports(self._refused[: link_limits.FRAME_ITEMS]))
            del self._refused[: link_limits.FRAME_ITEMS]
        reports = self._ledger.outbox.take()
        if reports:
            messages.append(Reports(reports))
        messages += self._followers.take_replies()
        latest = None if self._findings is None else self._findings.latest
        if latest is not None and latest is not self._sent_findings:
            self._sent_findings = latest
            messages.append(latest)
        return messages

    async def end(self) -> None:
        self._followers.end()

    async def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """
        Start work that waits for the ledger, without blocking the session meanwhile.

        Changes that the work makes before it first waits are visible when this returns.
        """
        self._attempts.spawn(work, name)
        await asyncio.sleep(0)

    async def _accept(self, message: Assignments) -> None:
        try:
            fresh = await self._ledger.accept(message.assignments, message.specs, self._clock.now())
        finally:
            self._arriving -= len(message.assignments)
        # A session that began meanwhile has listed them, and may have started them.
        self._unconfirmed |= {
            active.assignment.attempt
            for active in fresh
            if active.assignment.attempt not in self._attempts
        }
        if self._desired.end_attempts:
            await self._stop_all()
        for assignment in message.assignments:
            lease = Lease(assignment.attempt, assignment.lease)
            if self._ledger.knows(lease):
                self._accepted.append(lease)
            else:
                logger.error(
                    "assignment not accepted, attempt is active under another lease",
                    extra={"attempt": str(assignment.attempt)},
                )
        self._wakeup.wake()

    def _refuse(self, unknown: UnknownAssignment) -> None:
        """Report an assignment of an unknown kind as failed, without accepting it."""
        logger.error(
            "assignment refused, its kind is unknown to this release",
            extra={"attempt": str(unknown.attempt), "kind": unknown.kind},
        )
        self._refused.append(
            Report(
                attempt=unknown.attempt,
                lease=unknown.lease,
                version=1,
                phase=Phase.FAILED,
                at=self._clock.now(),
                failure=Failure(
                    code="UnknownAssignmentKind",
                    kind=FailureKind.SYSTEM,
                    message=f"the agent of this cluster is older than assignments of kind "
                    f"{unknown.kind}, which the control plane sent; upgrade the agent",
                ),
            )
        )

    def _confirm(self, leases: Iterable[Lease]) -> None:
        """Start the attempts that the control plane confirmed."""
        confirmed = [active for lease in leases if (active := self._find(lease)) is not None]
        if self._desired.end_attempts:
            return  # the session ends once these are reported as aborted
        self._unconfirmed -= {active.assignment.attempt for active in confirmed}
        self._attempts.begin(confirmed)

    async def _apply_decisions(self, message: InventoryDecisions) -> None:
        self._confirm(lease for lease, kind in message.decisions if kind is InventoryDecision.KEEP)
        for lease, kind in message.decisions:
            if kind is not InventoryDecision.KEEP:
                forget = kind is InventoryDecision.FORGET
                await self._stop(Stop(lease=lease, reason="inventory decision", forget=forget))

    async def _acknowledge(self, message: Acknowledgements) -> None:
        for item in message.acknowledgements:
            if item.status is AckStatus.STALE:
                await self._forget(item.attempt)
        await self._ledger.acknowledge(
            item for item in message.acknowledgements if item.status is not AckStatus.STALE
        )

    async def _stop_all(self) -> None:
        """Stop every attempt in the ledger; those that were not started end as aborted."""
        leases = [active.lease for active in self._ledger.active.values()]
        for lease in leases:
            await self._stop(Stop(lease=lease, reason="all attempts end", forget=False))

    async def _stop(self, stop: Stop) -> None:
        active = self._find(stop.lease)
        if active is None:
            return  # acknowledged, or active under another lease: nothing to stop
        attempt = stop.lease.attempt
        if stop.forget:
            await self._forget(attempt)
        elif attempt in self._attempts:
            self._attempts.stop(attempt, Reason.DESIRED_STATE)
        elif not active.is_over:
            self._unconfirmed.discard(attempt)
            await self._spawn(self._abort(attempt), "abort")

    async def _abort(self, attempt: AttemptId) -> None:
        await self._ledger.record(attempt, [StatusUpdate(phase=Phase.ABORTED)], self._clock.now())
        self._wakeup.wake()

    async def _forget(self, attempt: AttemptId) -> None:
        """Stop an attempt whose lease was revoked, and report nothing."""
        self._unconfirmed.discard(attempt)
        self._attempts.stop(attempt, Reason.LEASE_LOST)
        await self._ledger.forget([attempt])

    def _find(self, lease: Lease) -> ActiveAttempt | None:
        active = self._ledger.active.get(lease.attempt)
        return active if active is not None and active.lease == lease else None
