"""The ledger: on disk before anybody hears of it, and there again after a restart."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.core.fencing import Contact
from dataplane.agent.core.held import News
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.ledger import Ledger
from shared.model.ids import Digest
from shared.model.phases import Phase
from shared.model.reports import (
    Acknowledgement,
    ClusterEvent,
    Failure,
    FailureKind,
    Verdict,
)
from tests.unit.agent.assignments import NOW, make_assignment, with_lease
from tests.unit.agent.test_session import WELCOME


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(path) as opened:
        yield opened


async def test_what_was_accepted_is_there_after_a_restart(path: Path) -> None:
    first, second = make_assignment(1), make_assignment(2, parent="a1", attempt=3)
    async with Ledger.open(path) as ledger:
        await ledger.accept([first, second], {}, NOW)

    async with Ledger.open(path) as ledger:
        assert {held.assignment for held in ledger.held.values()} == {first, second}
        assert {held.accepted_at for held in ledger.held.values()} == {NOW}


async def test_an_assignment_delivered_twice_is_one(ledger: Ledger) -> None:
    assignment = make_assignment()

    assert len(await ledger.accept([assignment, assignment], {}, NOW)) == 1
    assert len(await ledger.accept([assignment], {}, NOW)) == 0
    assert len(ledger.leases()) == 1


async def test_an_attempt_under_another_lease_is_not_accepted(ledger: Ledger) -> None:
    assignment = make_assignment()
    await ledger.accept([assignment], {}, NOW)
    other = with_lease(assignment, 99)

    assert await ledger.accept([other], {}, NOW) == []
    assert ledger.held[assignment.attempt].assignment == assignment


async def test_a_report_is_sendable_only_once_it_is_written(ledger: Ledger) -> None:
    assignment = make_assignment()
    await ledger.accept([assignment], {}, NOW)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger.record(assignment.attempt, [News(phase=Phase.RUNNING)], NOW))
        await asyncio.sleep(0)
        assert ledger.outbox.take() == []
    assert [report.phase for report in ledger.outbox.take()] == [Phase.RUNNING]


async def test_reports_are_whole_after_a_restart(path: Path) -> None:
    assignment = make_assignment()
    news = News(
        phase=Phase.FAILED,
        reason="why",
        message="said",
        failure=Failure(
            code="X",
            kind=FailureKind.PREEMPTION,
            message="ä",
            recoverable=False,
            full_uri="file:///e",
        ),
        report_uri="file:///r",
        log_uri="file:///l",
        events=(ClusterEvent(at=NOW, reason="Killed", message="by hand"),),
    )
    async with Ledger.open(path) as ledger:
        await ledger.accept([assignment], {}, NOW)
        at = NOW + timedelta(microseconds=1)
        await ledger.record(assignment.attempt, [News(phase=Phase.RUNNING), news], at)
        said = ledger.outbox.take()

    async with Ledger.open(path) as ledger:
        assert ledger.outbox.take() == said
        held = ledger.held[assignment.attempt]
        assert (held.version, held.phase, held.is_over) == (2, Phase.FAILED, True)


async def test_what_is_known_already_is_not_reported_again(ledger: Ledger) -> None:
    assignment = make_assignment()
    await ledger.accept([assignment], {}, NOW)
    for phase in (Phase.RUNNING, Phase.INITIALIZING, Phase.RUNNING):
        await ledger.record(assignment.attempt, [News(phase=phase)], NOW)

    assert [report.phase for report in ledger.outbox.take()] == [Phase.RUNNING]


async def test_an_attempt_is_over_when_its_last_report_is_acknowledged(path: Path) -> None:
    assignment = make_assignment()
    async with Ledger.open(path) as ledger:
        await ledger.accept([assignment], {}, NOW)
        await ledger.record(assignment.attempt, [News(phase=Phase.RUNNING)], NOW)
        await ledger.record(assignment.attempt, [News(phase=Phase.SUCCEEDED)], NOW)

        def acknowledged(version: int) -> list[Acknowledgement]:
            return [Acknowledgement(assignment.attempt, version, Verdict.APPLIED)]

        assert await ledger.settle(acknowledged(1)) == []
        assert await ledger.settle(acknowledged(2)) == [assignment.attempt]
        assert ledger.leases() == []

    async with Ledger.open(path) as ledger:
        assert ledger.leases() == []
        assert ledger.outbox.take() == []


async def test_a_settled_assignment_that_comes_again_is_known_and_not_run(ledger: Ledger) -> None:
    assignment = make_assignment()
    (held,) = await ledger.accept([assignment], {}, NOW)
    await ledger.forget([assignment.attempt])

    assert await ledger.accept([assignment], {}, NOW) == []
    assert ledger.knows(held.lease)


async def test_nothing_is_said_of_what_was_forgotten(ledger: Ledger) -> None:
    assignment = make_assignment()
    await ledger.accept([assignment], {}, NOW)
    await ledger.forget([assignment.attempt])
    await ledger.record(assignment.attempt, [News(phase=Phase.FAILED)], NOW)

    assert ledger.outbox.take() == []


async def test_specs_are_kept_while_an_attempt_needs_them(ledger: Ledger) -> None:
    assignment = make_assignment()
    unneeded = Digest(b"u" * 32)
    specs = {assignment.task_spec: b"task", assignment.run_spec: b"run", unneeded: b"?"}
    await ledger.accept([assignment], specs, NOW)
    assert await ledger.spec(unneeded) == b"?"

    await ledger.begin_session()
    assert await ledger.spec(assignment.task_spec) == b"task"
    assert await ledger.spec(assignment.run_spec) == b"run"
    assert await ledger.spec(unneeded) is None


async def test_who_the_agent_is_and_its_last_session_survive(path: Path) -> None:
    async with Ledger.open(path) as ledger:
        name = ledger.agent_id
        await ledger.remember_session(WELCOME, NOW)
        await ledger.remember_touch(NOW + timedelta(seconds=5))

    async with Ledger.open(path) as ledger:
        assert name
        assert (ledger.agent_id, ledger.last_epoch) == (name, 7)
        assert ledger.contact == Contact(
            NOW + timedelta(seconds=5), WELCOME.fence_after, WELCOME.reassign_after
        )


async def test_many_at_once_share_commits_and_all_are_there(path: Path) -> None:
    assignments = [make_assignment(number) for number in range(1, 1001)]
    async with Ledger.open(path) as ledger:
        await ledger.accept(assignments, {}, NOW)
        async with asyncio.TaskGroup() as tasks:
            for assignment in assignments:
                tasks.create_task(
                    ledger.record(assignment.attempt, [News(phase=Phase.RUNNING)], NOW)
                )

    async with Ledger.open(path) as ledger:
        assert {held.phase for held in ledger.held.values()} == {Phase.RUNNING}
        assert len(ledger.held) == 1000


async def test_a_ledger_of_another_format_is_refused_with_the_remedy(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(LedgerError, match="fresh data directory"):
        async with Ledger.open(path):
            pass


async def test_a_file_that_is_no_ledger_is_refused(path: Path) -> None:
    path.write_text(  # noqa: ASYNC240 - a test has time
        "this is no database, but quite long enough to look like a file of one" * 20
    )

    with pytest.raises(LedgerError, match="cannot be opened"):
        async with Ledger.open(path):
            pass


async def test_news_goes_out_even_if_whoever_wrote_it_down_is_gone(ledger: Ledger) -> None:
    """A session that ends in the middle of a stop must not take the attempt's end along."""
    held = (await ledger.accept([make_assignment()], {}, NOW))[0]
    attempt = held.assignment.attempt
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(ledger.record(attempt, [News(phase=Phase.ABORTED)], NOW))
        await asyncio.sleep(0)  # it waits for the disk
        writing.cancel()

    await ledger.begin_session()
    assert [report.phase for report in ledger.outbox.take()] == [Phase.ABORTED]
