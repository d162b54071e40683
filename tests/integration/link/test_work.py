"""We test how work goes out and what becomes of it comes home, whatever breaks in between."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import grpc
import pytest

from controlplane.core.actions import Spec, SpecKind
from controlplane.core.link_timings import LinkTimings
from controlplane.store.notify.changes import lock_runs
from shared.idl.agent.v1 import assignment_pb2, link_pb2, report_pb2
from shared.model.ids import Digest, LeaseId
from shared.model.phases import Phase
from shared.model.reports import AckStatus
from shared.wire.reports import render_report
from tests.factories import ORG, make_failure, make_new_action, make_new_run, make_report
from tests.integration.link.conftest import (
    TIMEOUT_SECONDS,
    LinkUnderTest,
    calling,
    lease_of,
    make_leases,
    serving,
)
from tests.integration.store.conftest import Store

KEEP = link_pb2.VerdictOnLease.KIND_KEEP
STOP = link_pb2.VerdictOnLease.KIND_STOP
FORGET = link_pb2.VerdictOnLease.KIND_FORGET
APPLIED, REPEATED, STALE = (
    status.value for status in (AckStatus.APPLIED, AckStatus.REPEATED, AckStatus.STALE)
)


def make_large_spec(number: int, size: int) -> Spec:
    body = bytes([number]) * size
    return Spec(digest=Digest(hashlib.sha256(body).digest()), kind=SpecKind.TASK, body=body)


async def leased(store: Store) -> int:
    async with store.database.for_org(ORG) as tx:
        connection = (await tx.connection.get_raw_connection()).driver_connection
        assert connection is not None
        count: int = await connection.fetchval(
            "SELECT count(*) FROM dispatches WHERE lease_id IS NOT NULL"
        )
    return count


async def test_assignments_never_exceed_the_credit(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(*(make_new_action(f"b{number}") for number in range(9)))
    async with calling(link) as agent:
        await agent.open()
        taken = await agent.take(2)
        # Whatever it was going to send besides would have come before this answer.
        await agent.accept(*taken)
        assert await leased(link.store) == 2
        await agent.say(credit=link_pb2.Credit(total=5))
        taken += await agent.hear_assignments(3)
        await agent.accept(*taken)
        assert await leased(link.store) == 5
    assert len({each.attempt for each in taken}) == 5


async def test_no_assignment_is_sent_before_credit(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        await agent.be_heard()
        assert await leased(link.store) == 0


async def test_too_much_credit_at_once_ends_the_session(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=2**64 - 1))
        assert (await agent.hear_end())[0] == "protocol"


async def test_enqueued_work_reaches_a_waiting_agent_at_once(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=10))
        await link.store.create(make_new_run())
        async with asyncio.timeout(12):  # it looks around every fifteen seconds, woken or not
            [assignment] = await agent.hear_assignments(1)
    assert assignment.key.name == "a0"


async def test_a_spec_is_sent_once_a_session_and_before_it_is_named(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(make_new_action("b"), make_new_action("c", body=b"another"))
    for _ in range(2):
        async with calling(link) as agent:
            await agent.open()
            sent: dict[bytes, bytes] = {}
            seen = 0
            for total in range(1, 4):
                await agent.say(credit=link_pb2.Credit(total=total))
                batch = (await agent.hear("assignments")).assignments
                changes = {spec.digest: spec.body for spec in batch.specs}
                assert not changes.keys() & sent.keys()
                sent |= changes
                for each in batch.assignments:
                    assert {each.task_spec, each.run_spec} <= sent.keys()
                    seen += 1
            assert seen == 3
            assert set(sent.values()) == {b"a task", b"a child", b"another", b"a run"}


async def test_many_large_specs_go_in_many_frames(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(
        *(
            replace(make_new_action(f"b{number}"), spec=make_large_spec(number, 3 * 1024 * 1024))
            for number in range(10)
        )
    )
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=11))
        sent: set[bytes] = set()
        taken, frames = 0, 0
        while taken < 11:
            frame = await agent.hear("assignments")
            assert frame.ByteSize() < 13 * 1024 * 1024
            frames += 1
            sent |= {spec.digest for spec in frame.assignments.specs}
            for each in frame.assignments.assignments:
                assert {each.task_spec, each.run_spec} <= sent
                taken += 1
    assert frames >= 3


async def test_accepted_lease_is_confirmed_and_an_unknown_one_is_forgotten(
    link: LinkUnderTest,
) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        strange = replace(assignment, lease=LeaseId(uuid4()))
        leases = make_leases(lease_of(assignment, strange))
        await agent.say(accepted=assignment_pb2.Accepted(leases=leases))
        confirmed = (await agent.hear("confirmed")).confirmed
        assert list(confirmed.leases) == leases[:1]
        [stop] = (await agent.hear("stops")).stops.stops
        assert (stop.lease, stop.forget) == (leases[1], True)


async def test_unaccepted_lease_is_released_and_leased_again(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [first] = await agent.take(1)
    async with calling(link) as agent:
        await agent.open()
        [second] = await agent.take(1)
        assert second.attempt == first.attempt
        assert second.lease != first.lease
        assert await agent.report(make_report(first, 1, Phase.RUNNING)) == [STALE]
        assert await agent.accept(second) == {second.lease}


async def test_an_accepted_lease_is_kept_over_a_broken_stream(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        assert await agent.report(make_report(assignment, 1, Phase.RUNNING)) == [APPLIED]
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == KEEP
        assert await agent.report(
            make_report(assignment, 1, Phase.RUNNING), make_report(assignment, 2, Phase.SUCCEEDED)
        ) == [REPEATED, APPLIED]
    assert await link.store.phase(run) is Phase.SUCCEEDED


async def test_an_empty_inventory_deletes_nothing(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
    async with calling(link) as agent:
        await agent.open([])
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == KEEP
        assert await agent.report(make_report(assignment, 1, Phase.SUCCEEDED)) == [APPLIED]
    assert await link.store.phase(run) is Phase.SUCCEEDED


async def test_stop_is_sent_at_once_and_at_every_reconnection(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        await link.store.abort(run)
        async with asyncio.timeout(12):
            [stop] = (await agent.hear("stops")).stops.stops
        assert (stop.lease, stop.reason, stop.forget) == (
            make_leases(lease_of(assignment))[0],
            "enough",
            False,
        )
    for _ in range(2):
        async with calling(link) as agent:
            [decision] = await agent.open(lease_of(assignment))
            assert decision.kind == STOP
    async with calling(link) as agent:
        await agent.open(lease_of(assignment))
        [stop] = (await agent.hear("stops")).stops.stops
        assert await agent.report(make_report(assignment, 1, Phase.ABORTED)) == [APPLIED]
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == FORGET
    assert await link.store.count("dispatches") == 0


async def test_acceptance_of_an_aborted_attempt_is_answered_with_a_stop(
    link: LinkUnderTest,
) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await link.store.abort(run)
        lease = make_leases(lease_of(assignment))
        for accepting in (False, True):
            if accepting:
                await agent.say(accepted=assignment_pb2.Accepted(leases=lease))
            [stop] = (await agent.hear("stops")).stops.stops
            assert (stop.lease, stop.forget) == (lease[0], False)
        assert await agent.report(make_report(assignment, 1, Phase.ABORTED)) == [APPLIED]
    assert await link.store.count("dispatches") == 0


async def test_a_report_is_acknowledged_after_its_commit_and_not_before(
    link: LinkUnderTest, owner_database_url: str
) -> None:
    """We kill the connection in which it is being written, and say it again."""
    owner = await asyncpg.connect(owner_database_url)
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        done = make_report(assignment, 1, Phase.SUCCEEDED)
        async with link.store.database.for_org(ORG) as holder:
            await lock_runs(holder, [run])
            await agent.say_reports(done)
            await link.store.until_a_lock_is_waited_for()
            killed = await owner.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            assert killed == 1
            code, _, retry = await agent.hear_end()  # and no acknowledgement before it
            assert (code, retry) == ("unavailable", True)
    assert await link.store.phase(run) is Phase.QUEUED
    async with calling(link) as agent:
        await agent.open(lease_of(assignment))
        assert await agent.report(done) == [APPLIED]
        assert await agent.report(done) == [REPEATED]
    assert await link.store.phase(run) is Phase.SUCCEEDED
    await owner.close()


async def test_report_is_acknowledged_while_another_run_is_locked(link: LinkUnderTest) -> None:
    locked = await link.store.create(make_new_run("ra"))
    await link.store.create(make_new_run("rb"))
    async with calling(link) as agent:
        await agent.open()
        held = {str(each.key.run.name): each for each in await agent.take(2)}
        await agent.accept(*held.values())
        running, done = (
            make_report(held["ra"], version, phase)
            for version, phase in ((1, Phase.RUNNING), (2, Phase.SUCCEEDED))
        )
        async with link.store.database.for_org(ORG) as holder:
            await lock_runs(holder, [locked])
            await agent.say_reports(running, make_report(held["rb"], 1, Phase.RUNNING))
            answer = (await agent.hear("acknowledgements")).acknowledgements
            assert [each.verdict for each in answer.acknowledgements] == [APPLIED]
            await agent.say_reports(done, make_report(held["rb"], 2, Phase.SUCCEEDED))
            answer = (await agent.hear("acknowledgements")).acknowledgements
            assert [each.verdict for each in answer.acknowledgements] == [APPLIED]
        answer = (await agent.hear("acknowledgements")).acknowledgements
        assert [(each.version, each.verdict) for each in answer.acknowledgements] == [
            (1, APPLIED),
            (2, APPLIED),
        ]
    assert await link.store.phase(locked) is Phase.SUCCEEDED


async def test_report_resent_after_a_lost_acknowledgement_is_repeated(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        done = make_report(assignment, 1, Phase.SUCCEEDED)
        await agent.say_reports(done)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while await link.store.phase(run) is not Phase.SUCCEEDED:
                pass
    async with calling(link) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == FORGET
        assert await agent.report(done) == [REPEATED]


async def test_report_with_odd_strings_is_committed(link: LinkUnderTest) -> None:
    run = await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        await agent.accept(assignment)
        failure = replace(make_failure(), message="\0" + "ü" * 100_000)
        failed = make_report(assignment, 1, Phase.FAILED, failure=failure)
        assert await agent.report(failed) == [APPLIED]
    row = (await link.store.detail(run)).row
    assert row.phase is Phase.FAILED
    assert row.failure is not None
    assert row.failure.message.startswith("\N{REPLACEMENT CHARACTER}üü")


async def test_a_report_that_breaks_its_contract_ends_the_session_by_name(
    link: LinkUnderTest,
) -> None:
    await link.store.create(make_new_run())
    async with calling(link) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        bad = render_report(make_report(assignment, 1, Phase.RUNNING))
        bad.phase = 77
        await agent.say(reports=report_pb2.ReportBatch(reports=[bad]))
        code, message, _ = await agent.hear_end()
    assert code == "protocol"
    assert "report.phase is 77" in message


@pytest.mark.parametrize("kind", ["reports", "accepted"])
async def test_a_frame_of_too_many_items_is_refused(
    link: LinkUnderTest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("controlplane.core.link_protocol.MAX_ITEMS_IN_FRAME", 2)
    async with calling(link) as agent:
        await agent.open()
        if kind == "reports":
            await agent.say(reports=report_pb2.ReportBatch(reports=[report_pb2.Report()] * 3))
        else:
            await agent.say(accepted=assignment_pb2.Accepted(leases=[assignment_pb2.Lease()] * 3))
        code, message, _ = await agent.hear_end()
    assert code == "protocol"
    assert "at most 2" in message


async def test_more_reports_than_fit_a_commit_are_all_answered(
    link: LinkUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.core.report_queue.REPORTS_PER_COMMIT", 10)
    monkeypatch.setattr("controlplane.core.report_queue.MAX_UNCOMMITTED", 20)
    await link.store.create(make_new_run())
    await link.store.enqueue(*(make_new_action(f"b{number}") for number in range(99)))
    async with calling(link) as agent:
        await agent.open()
        taken = await agent.take(100)
        await agent.accept(*taken)
        for start in range(0, 100, 25):
            await agent.say_reports(
                *(make_report(each, 1, Phase.RUNNING) for each in taken[start : start + 25])
            )
        answered = 0
        while answered < 100:
            kind = (await agent.hear("acknowledgements")).acknowledgements.acknowledgements
            assert {each.verdict for each in kind} == {APPLIED}
            answered += len(kind)
    assert answered == 100


async def test_session_ends_when_the_agent_does_not_read(
    store: Store, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    timings = LinkTimings(heartbeat=timedelta(milliseconds=100), silent_after=timedelta(seconds=2))
    await store.create(make_new_run())
    await store.enqueue(
        *(
            replace(make_new_action(f"b{number}"), spec=make_large_spec(number, 4 * 1024 * 1024))
            for number in range(20)
        )
    )
    async with serving(store, database_url, timings) as link, calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=21))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with suppress(grpc.RpcError, asyncio.InvalidStateError):  # it is let go in mid-word
                while link.servicer._serving:  # it talks, and does not listen
                    await agent.say(heartbeat=link_pb2.Heartbeat(number=1))
                    await asyncio.sleep(0.02)
            await link.servicer.wait_until_drained()
    assert "agent session failed" not in caplog.text


async def test_rejection_follows_the_frame_that_is_being_written(link: LinkUnderTest) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(
        *(
            replace(make_new_action(f"b{number}"), spec=make_large_spec(number, 4 * 1024 * 1024))
            for number in range(20)
        )
    )
    async with calling(link) as agent:
        await agent.open()
        await agent.say(credit=link_pb2.Credit(total=21))
        await agent.hear("assignments")  # the next one does not fit gRPC's buffers
        await agent.say(credit=link_pb2.Credit(total=2**64 - 1))
        assert (await agent.hear_end())[0] == "protocol"


async def test_work_of_a_broken_session_is_leased_to_another(
    link: LinkUnderTest,
) -> None:
    await link.store.create(make_new_run())
    await link.store.enqueue(*(make_new_action(f"b{number}") for number in range(20)))
    for _ in range(5):
        async with calling(link) as agent:
            await agent.open()
            await agent.say(credit=link_pb2.Credit(total=21))
    async with calling(link) as agent:
        await agent.open()
        taken = await agent.take(21)
        await agent.accept(*taken)
    assert len({each.attempt for each in taken}) == 21
    assert {each.attempt.number for each in taken} == {1}
