"""Contract tests of the ledger, for every journal."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.self_fencing import LastHeartbeat
from dataplane.agent.ledger.ledger import Ledger
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest
from shared.model.link_messages import Lease
from shared.model.phases import Phase
from shared.model.reports import (
    Acknowledgement,
    AckStatus,
    ClusterEvent,
    EventType,
    Failure,
    FailureKind,
    LogLink,
)
from tests.running import until
from tests.unit.agent.assignments import NOW, make_assignment, with_lease
from tests.unit.agent.test_session import WELCOME

Open = Callable[[], AbstractAsyncContextManager[Ledger]]
"""Opens the one ledger, as it was left; provided by a fixture ``reopen``."""

FAILED = StatusUpdate(
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
    log_links=(LogLink("elsewhere", "https://logs.test/a1"),),
    events=(
        ClusterEvent(
            at=NOW,
            reason="Killed",
            message="by hand",
            type=EventType.WARNING,
            count=3,
            source="kubelet",
        ),
    ),
)


def acknowledged(attempt: AttemptId, version: int) -> list[Acknowledgement]:
    return [Acknowledgement(attempt, version, AckStatus.APPLIED)]


def digest_of(body: bytes) -> Digest:
    return Digest(hashlib.sha256(body).digest())


def with_specs(task: bytes, run: bytes, number: int = 1) -> Assignment:
    assignment = make_assignment(number)
    return replace(assignment, task_spec=digest_of(task), run_spec=digest_of(run))


class LedgerPromises:
    async def test_accepted_attempt_survives_restart(self, reopen: Open) -> None:
        first, second = make_assignment(1), make_assignment(2, parent="a1", attempt=3)
        async with reopen() as ledger:
            await ledger.accept([first, second], {}, NOW)

        async with reopen() as ledger:
            assert {active.assignment for active in ledger.active.values()} == {first, second}
            assert {active.accepted_at for active in ledger.active.values()} == {NOW}

    async def test_repeated_assignment_is_one_attempt(self, reopen: Open) -> None:
        assignment = make_assignment()
        async with reopen() as ledger:
            assert len(await ledger.accept([assignment, assignment], {}, NOW)) == 1
            assert len(await ledger.accept([assignment], {}, NOW)) == 0
            assert len(ledger.leases()) == 1

    async def test_repeated_assignment_waits_until_durable(self, reopen: Open) -> None:
        assignment = make_assignment()
        async with reopen() as ledger, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(ledger.accept([assignment], {}, NOW))
            await asyncio.sleep(0)
            assert await ledger.accept([assignment], {}, NOW) == []
            assert first.done()

    async def test_attempt_is_active_at_once_and_startable_once_durable(self, reopen: Open) -> None:
        assignment = make_assignment()
        lease = Lease(assignment.attempt, assignment.lease)
        async with reopen() as ledger, asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(ledger.accept([assignment], {}, NOW))
            await asyncio.sleep(0)
            assert ledger.leases() == [lease]
            waiting = tasks.create_task(ledger.written(lease))
            await asyncio.sleep(0)
            assert not waiting.done()
            assert len(await accepting) == 1
            assert await waiting
            assert await ledger.written(lease)
            assert not await ledger.written(Lease(assignment.attempt, make_assignment(2).lease))

    async def test_attempt_active_under_other_lease_is_not_accepted(self, reopen: Open) -> None:
        assignment = make_assignment()
        async with reopen() as ledger:
            await ledger.accept([assignment], {}, NOW)

            assert await ledger.accept([with_lease(assignment, 99)], {}, NOW) == []
            assert ledger.active[assignment.attempt].assignment == assignment

    async def test_forgotten_attempt_is_accepted_under_other_lease(self, reopen: Open) -> None:
        assignment = make_assignment()
        other = with_lease(assignment, 99)
        async with reopen() as ledger:
            await ledger.accept([assignment], {}, NOW)
            await ledger.record(assignment.attempt, [StatusUpdate(phase=Phase.RUNNING)], NOW)
            await ledger.forget([assignment.attempt])
            assert len(await ledger.accept([other], {}, NOW)) == 1
            await ledger.record(assignment.attempt, [StatusUpdate(phase=Phase.INITIALIZING)], NOW)

        async with reopen() as ledger:
            (active,) = ledger.active.values()
            assert (active.assignment, active.phase) == (other, Phase.INITIALIZING)

    async def test_report_is_sendable_only_once_durable(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ledger.record(attempt, [StatusUpdate(phase=Phase.RUNNING)], NOW))
                await asyncio.sleep(0)
                assert ledger.outbox.take() == []
            assert [report.phase for report in ledger.outbox.take()] == [Phase.RUNNING]

    async def test_reports_are_complete_and_resent_after_restart(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        at = NOW + timedelta(microseconds=1)
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            await ledger.record(attempt, [StatusUpdate(phase=Phase.RUNNING), FAILED], at)
            sent = ledger.outbox.take()

        async with reopen() as ledger:
            assert ledger.outbox.take() == sent
            active = ledger.active[attempt]
            assert (active.version, active.phase, active.is_over) == (2, Phase.FAILED, True)

    async def test_status_updates_recorded_together_keep_their_order(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        phases = [Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED]
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            async with asyncio.TaskGroup() as tasks:
                for phase in phases:
                    tasks.create_task(ledger.record(attempt, [StatusUpdate(phase=phase)], NOW))
            assert [report.phase for report in ledger.outbox.take()] == phases

        async with reopen() as ledger:
            assert [report.version for report in ledger.outbox.take()] == [1, 2, 3]

    async def test_report_versions_continue_after_restart(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            await ledger.record(attempt, [StatusUpdate(phase=Phase.RUNNING)], NOW)
        async with reopen() as ledger:
            await ledger.acknowledge(acknowledged(attempt, 1))
            await ledger.record(attempt, [StatusUpdate(phase=Phase.SUCCEEDED)], NOW)
            assert [report.version for report in ledger.outbox.take()] == [2]

    async def test_repeated_status_update_is_not_recorded(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            for phase in (Phase.RUNNING, Phase.INITIALIZING, Phase.RUNNING):
                await ledger.record(attempt, [StatusUpdate(phase=phase)], NOW)

            assert [report.phase for report in ledger.outbox.take()] == [Phase.RUNNING]

    async def test_attempt_ends_with_acknowledged_terminal_report(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            await ledger.record(attempt, [StatusUpdate(phase=Phase.RUNNING)], NOW)
            await ledger.record(attempt, [StatusUpdate(phase=Phase.SUCCEEDED)], NOW)

            assert await ledger.acknowledge(acknowledged(attempt, 1)) == []
            assert await ledger.acknowledge(acknowledged(attempt, 2)) == [attempt]
            assert ledger.leases() == []

    async def test_acknowledged_assignment_repeated_is_known_and_not_run(
        self, reopen: Open
    ) -> None:
        assignment = make_assignment()
        async with reopen() as ledger:
            (active,) = await ledger.accept([assignment], {}, NOW)
            await ledger.record(assignment.attempt, [StatusUpdate(phase=Phase.SUCCEEDED)], NOW)
            await ledger.acknowledge(acknowledged(assignment.attempt, 1))

            assert await ledger.accept([assignment], {}, NOW) == []
            assert ledger.knows(active.lease)

    async def test_forgotten_attempt_is_not_reported(self, reopen: Open) -> None:
        attempt = make_assignment().attempt
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            await ledger.forget([attempt])
            await ledger.record(attempt, [StatusUpdate(phase=Phase.FAILED)], NOW)

            assert ledger.outbox.take() == []

        async with reopen() as ledger:
            assert ledger.leases() == []

    async def test_report_is_sent_even_if_its_recorder_was_cancelled(self, reopen: Open) -> None:
        """A session that ends in the middle of a stop must not lose the attempt's end."""
        attempt = make_assignment().attempt
        async with reopen() as ledger:
            await ledger.accept([make_assignment()], {}, NOW)
            async with asyncio.TaskGroup() as tasks:
                recording = tasks.create_task(
                    ledger.record(attempt, [StatusUpdate(phase=Phase.ABORTED)], NOW)
                )
                await asyncio.sleep(0)
                recording.cancel()
            await until(lambda: phases_said(ledger) == [Phase.ABORTED])

    async def test_acceptance_completes_if_session_ends(self, reopen: Open) -> None:
        assignment = with_specs(b"task", b"run")
        async with reopen() as ledger:
            async with asyncio.TaskGroup() as tasks:
                specs = {assignment.task_spec: b"task"}
                accepting = tasks.create_task(ledger.accept([assignment], specs, NOW))
                await asyncio.sleep(0)
                accepting.cancel()
            assert ledger.leases()
            assert await ledger.accept([assignment], {}, NOW) == []

        async with reopen() as ledger:
            assert [active.assignment for active in ledger.active.values()] == [assignment]
            assert await ledger.spec(assignment.task_spec) == b"task"

    async def test_specs_are_kept_while_needed_by_an_attempt(self, reopen: Open) -> None:
        assignment, unneeded = with_specs(b"task", b"run"), digest_of(b"?")
        specs = {assignment.task_spec: b"task", assignment.run_spec: b"run", unneeded: b"?"}
        async with reopen() as ledger:
            await ledger.accept([assignment], specs, NOW)
            assert await ledger.spec(unneeded) == b"?"

            await ledger.begin_session()
            await until_gone(ledger, unneeded)
            assert await ledger.spec(assignment.task_spec) == b"task"
            assert await ledger.spec(assignment.run_spec) == b"run"

    async def test_agent_id_and_last_session_survive_restart(self, reopen: Open) -> None:
        async with reopen() as ledger:
            agent_id = ledger.agent_id
            await ledger.remember_session(WELCOME, NOW)
            await ledger.remember_heartbeat(NOW + timedelta(seconds=1))

        async with reopen() as ledger:
            assert ledger.agent_id == agent_id
            assert ledger.last_epoch == WELCOME.epoch
            assert ledger.last_heartbeat == LastHeartbeat(
                NOW + timedelta(seconds=1), WELCOME.fence_after, WELCOME.reassign_after
            )


def phases_said(ledger: Ledger) -> list[Phase]:
    ledger.outbox.rewind()
    return [report.phase for report in ledger.outbox.take()]


async def until_gone(ledger: Ledger, spec: Digest) -> None:
    async with asyncio.timeout(60):
        while await ledger.spec(spec) is not None:  # noqa: ASYNC110 - it is dropped in time
            await asyncio.sleep(0)
