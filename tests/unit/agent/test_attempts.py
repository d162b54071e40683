"""Tests of running attempts: agent errors stop them first; released ones are not waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.sqlite import SqliteJournal
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.runtimes.protocol import Job, ReportStatus, Runtime
from dataplane.agent.runtimes.runtime_selection import Runtimes
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from shared.model.reports import Report
from tests.running import running, until
from tests.unit.agent.assignments import NOW, make_assignment

FIRST, SECOND = make_assignment(1), make_assignment(2)
# Serialised messages of no fields: a task of no name and no settings.
SPECS = {FIRST.task_spec: b"", FIRST.run_spec: b""}


@dataclass(slots=True)
class Faulty:
    """Runtime that fails at the first run of the first attempt; a stopped one ends as ``end``."""

    end: Phase = Phase.ABORTED
    goes: list[tuple[Phase, bool]] = field(default_factory=list)  # last reported phase, stopped

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        self.goes.append((job.last_reported, stop.is_set()))
        if len(self.goes) == 1:
            await report_status(StatusUpdate(phase=Phase.RUNNING))
            raise RuntimeError("a fault of ours")
        await stop.wait()
        return StatusUpdate(phase=self.end)

    async def follow(self, attempt: object, after_line: int) -> AsyncIterator[LogChunk]:
        del attempt, after_line
        for nothing in list[LogChunk]():
            yield nothing


def make_attempts(
    ledger: Ledger, runtime: Runtime, *, take_along: timedelta | None = None
) -> Attempts:
    runtimes = Runtimes(choices=(), unsupported=runtime, capabilities=())
    return Attempts(ledger, runtimes, Wakeup(), SystemClock(), take_along=take_along)


@pytest.mark.parametrize(
    ("end", "phase"),
    [(Phase.ABORTED, Phase.FAILED), (Phase.SUCCEEDED, Phase.SUCCEEDED)],
    ids=["stopped", "was-over"],
)
async def test_attempt_is_stopped_before_agent_error_is_reported(
    tmp_path: Path, end: Phase, phase: Phase
) -> None:
    runtime = Faulty(end=end)
    async with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        attempts = make_attempts(ledger, runtime)
        async with running(attempts):
            await attempts.started.wait()
            attempts.begin(await ledger.accept([FIRST], SPECS, NOW))
            await until(lambda: FIRST.attempt not in attempts)

        assert runtime.goes == [(Phase.QUEUED, False), (Phase.RUNNING, True)]
        reports = ledger.outbox.take()
    assert [report.phase for report in reports] == [Phase.RUNNING, phase]
    failure = reports[-1].failure
    assert (failure.code if failure else None) == ("AgentError" if phase is Phase.FAILED else None)


class Noted:
    """Runtime that records its jobs, and ends them when they are stopped."""

    def __init__(self) -> None:
        self.goes: list[tuple[str, Phase, bool]] = []

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        del report_status
        self.goes.append((job.task.type, job.last_reported, stop.is_set()))
        await stop.wait()
        return StatusUpdate(phase=Phase.ABORTED)

    async def follow(self, attempt: object, after_line: int) -> AsyncIterator[LogChunk]:
        del attempt, after_line
        for nothing in list[LogChunk]():
            yield nothing


async def test_running_attempt_with_missing_spec_is_stopped(tmp_path: Path) -> None:
    """Its spec was deleted; an attempt that was not started need not be stopped."""
    runtime = Noted()
    async with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        active = await ledger.accept([FIRST, SECOND], {}, NOW)
        await ledger.record(FIRST.attempt, [StatusUpdate(phase=Phase.RUNNING)], NOW)
        attempts = make_attempts(ledger, runtime)
        async with running(attempts):
            await attempts.started.wait()
            attempts.begin(active)
            await until(lambda: len(attempts) == 0)

        assert runtime.goes == [("python", Phase.RUNNING, True)]
        codes = {one.attempt: one.failure.code for one in ledger.outbox.take() if one.failure}
    assert codes == {FIRST.attempt: "SpecMissing", SECOND.attempt: "SpecMissing"}


class FullJournal(SqliteJournal):
    """Journal that cannot store reports."""

    async def record(
        self, reports: Sequence[Report], *, then: Callable[[], None] = lambda: None
    ) -> None:
        del reports, then
        raise LedgerError("the disk is full")


async def test_shutdown_with_broken_ledger_does_not_wait_for_released_attempts(
    tmp_path: Path,
) -> None:
    """With ``take_along`` it should stop its processes, but cannot; the next agent resumes them."""
    runtime = Faulty()
    async with FullJournal.open(tmp_path / "ledger.sqlite3") as journal:
        ledger = Ledger(journal)
        await ledger.load()
        attempts = make_attempts(ledger, runtime, take_along=timedelta(hours=1))
        with pytest.RaisesGroup(LedgerError, flatten_subgroups=True):
            async with asyncio.timeout(60), asyncio.TaskGroup() as services:
                services.create_task(attempts.run())
                await attempts.started.wait()
                attempts.begin(await ledger.accept([SECOND, FIRST], SPECS, NOW))
