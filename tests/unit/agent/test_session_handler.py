"""Tests of the session handler with a slow ledger: it delays only what depends on its writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.sqlite import SqliteJournal
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.loops.fence import Fence
from dataplane.agent.loops.log_followers import LogFollowers
from dataplane.agent.loops.session_handler import AgentSessionHandler
from dataplane.agent.runtimes.protocol import Job, ReportStatus
from dataplane.agent.runtimes.runtime_selection import Runtimes
from shared.kit.wakeup import Wakeup
from shared.model.assignments import UnknownAssignment
from shared.model.ids import AttemptId, Digest
from shared.model.link_messages import (
    Accepted,
    Assignments,
    Confirmed,
    DesiredState,
    InventoryDecision,
    InventoryDecisions,
    Lease,
    Reports,
    Stop,
    Stops,
)
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from tests.fakes.clock import FakeClock
from tests.running import until
from tests.unit.agent.assignments import make_assignment

ASSIGNMENT = make_assignment()
LEASE = Lease(ASSIGNMENT.attempt, ASSIGNMENT.lease)
# Serialised messages of no fields: a task of no name and no settings.
SPECS = {ASSIGNMENT.task_spec: b"", ASSIGNMENT.run_spec: b""}


class SlowJournal(SqliteJournal):
    """Journal that stores attempts and reports once it is allowed to."""

    may_write: asyncio.Event

    async def accept(
        self,
        attempts: Sequence[ActiveAttempt],
        specs: Mapping[Digest, bytes],
        *,
        then: Callable[[Collection[AttemptId]], None] = lambda _: None,
    ) -> None:
        await self.may_write.wait()
        await super().accept(attempts, specs, then=then)


class NotedRuntime:
    """Runtime that records started attempts, and ends them when they are stopped."""

    def __init__(self) -> None:
        self.begun: list[AttemptId] = []

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        del report_status
        self.begun.append(job.assignment.attempt)
        await stop.wait()
        return StatusUpdate(phase=Phase.ABORTED)

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        del attempt, after_line
        for nothing in list[LogChunk]():
            yield nothing

    def allow_until(self, _: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class World:
    handler: AgentSessionHandler
    ledger: Ledger
    attempts: Attempts
    runtime: NotedRuntime
    journal: SlowJournal

    def accepted(self) -> list[Lease]:
        return [
            lease
            for message in self.handler.due()
            if isinstance(message, Accepted)
            for lease in message.leases
        ]


@asynccontextmanager
async def make_world(path: Path) -> AsyncIterator[World]:
    async with SlowJournal.open(path) as journal:
        journal.may_write = asyncio.Event()
        ledger, wakeup, clock, runtime = Ledger(journal), Wakeup(), FakeClock(), NotedRuntime()
        await ledger.load()
        runtimes = Runtimes(choices=(), unsupported=runtime, capabilities=())
        attempts = Attempts(ledger, runtimes, wakeup, clock)
        handler = AgentSessionHandler(
            ledger=ledger,
            attempts=attempts,
            followers=LogFollowers(runtime, wakeup),
            fence=Fence(ledger, attempts, runtime, clock, grace=timedelta(0)),
            wakeup=wakeup,
            slots=10,
            free_memory=lambda: 2**40,
            clock=clock,
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(attempts.run())
            await handler.begin()
            yield World(handler, ledger, attempts, runtime, journal)
            task.cancel()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path / "ledger.sqlite3") as made:
        yield made


async def test_assignments_are_accepted_once_slow_ledger_has_written(
    world: World,
) -> None:
    capacity = world.handler.capacity()
    await world.handler.take(Assignments([ASSIGNMENT], SPECS))
    assert world.handler.capacity() == capacity - 1
    assert world.accepted() == []

    world.journal.may_write.set()
    await until(lambda: world.accepted() == [LEASE])
    assert world.handler.capacity() == capacity - 1

    await world.handler.take(Confirmed([LEASE]))
    await until(lambda: world.runtime.begun == [ASSIGNMENT.attempt])


async def test_kept_assignment_starts_once_ledger_has_written(world: World) -> None:
    await world.handler.take(Assignments([ASSIGNMENT], SPECS))
    await world.handler.end()  # the session has broken

    assert await world.handler.begin() == [LEASE]
    await world.handler.take(InventoryDecisions([(LEASE, InventoryDecision.KEEP)], last=True))
    await asyncio.sleep(0)
    assert ASSIGNMENT.attempt in world.attempts
    assert world.runtime.begun == []

    world.journal.may_write.set()
    await until(lambda: world.runtime.begun == [ASSIGNMENT.attempt])
    capacity = world.handler.capacity()
    await until(lambda: world.accepted() == [LEASE])  # sent once more, which is harmless
    assert world.handler.capacity() == capacity


async def test_assignment_stopped_before_ledger_write_never_starts(world: World) -> None:
    await world.handler.take(Assignments([ASSIGNMENT], SPECS))
    await world.handler.take(Stops([Stop(lease=LEASE, reason="abort", forget=False)]))
    assert world.ledger.active[ASSIGNMENT.attempt].phase is Phase.ABORTED

    world.journal.may_write.set()
    await until(lambda: world.accepted() == [LEASE])
    await world.handler.take(Confirmed([LEASE]))
    assert ASSIGNMENT.attempt not in world.attempts


async def test_assignment_forgotten_before_ledger_write_never_starts(world: World) -> None:
    await world.handler.take(Assignments([ASSIGNMENT], SPECS))
    await world.handler.take(Confirmed([LEASE]))
    await world.handler.take(Stops([Stop(lease=LEASE, reason="verdict", forget=True)]))

    world.journal.may_write.set()
    await until(lambda: ASSIGNMENT.attempt not in world.attempts)
    assert world.runtime.begun == []


async def test_assignment_of_an_unknown_kind_is_reported_failed_and_not_accepted(
    world: World,
) -> None:
    unknown = UnknownAssignment(attempt=ASSIGNMENT.attempt, lease=ASSIGNMENT.lease, kind=7)
    await world.handler.take(Assignments([], {}, [unknown]))
    [message] = world.handler.due()
    assert isinstance(message, Reports)
    [report] = message.reports
    assert (report.attempt, report.lease, report.version) == (LEASE.attempt, LEASE.id, 1)
    assert report.phase is Phase.FAILED
    assert report.failure is not None
    assert report.failure.code == "UnknownAssignmentKind"
    assert "kind 7" in report.failure.message
    assert ASSIGNMENT.attempt not in world.ledger.active
    assert world.handler.due() == []


async def test_refusals_of_an_ended_session_are_not_sent_in_the_next(world: World) -> None:
    unknown = UnknownAssignment(attempt=ASSIGNMENT.attempt, lease=ASSIGNMENT.lease, kind=7)
    await world.handler.take(Assignments([], {}, [unknown]))
    await world.handler.end()
    await world.handler.begin()
    assert world.handler.due() == []


async def test_assignment_that_arrives_while_attempts_end_is_aborted_and_not_started(
    world: World,
) -> None:
    await world.handler.take(Assignments([ASSIGNMENT], SPECS))  # under way in the ledger
    await world.handler.take(DesiredState(end_attempts="the org was deleted"))
    assert world.handler.capacity() == 0
    world.journal.may_write.set()
    await world.handler.take(Confirmed([LEASE]))
    await until(lambda: world.ledger.active.get(ASSIGNMENT.attempt) is not None)
    await until(lambda: world.ledger.active[ASSIGNMENT.attempt].phase is Phase.ABORTED)
    await world.handler.take(InventoryDecisions([(LEASE, InventoryDecision.KEEP)], last=True))
    assert world.runtime.begun == []


async def test_ending_attempts_waits_for_their_ends_and_counts_them(world: World) -> None:
    world.journal.may_write.set()
    await world.handler.take(Assignments([ASSIGNMENT], SPECS))
    await until(lambda: world.accepted() == [LEASE])
    await world.handler.take(Confirmed([LEASE]))
    await until(lambda: world.runtime.begun == [ASSIGNMENT.attempt])
    assert await world.handler.end_attempts() == (1, 0)
    assert world.ledger.active[ASSIGNMENT.attempt].phase is Phase.ABORTED
    assert await world.handler.end_attempts() == (0, 0)
