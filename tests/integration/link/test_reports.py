"""Reports are acknowledged once they are committed; invalid ones end the session."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from controlplane.store.notify.changes import lock_runs
from shared.idl.agent.v1 import assignment_pb2, link_pb2, report_pb2
from shared.model.phases import Phase
from shared.model.reports import AckStatus
from shared.wire.reports import render_report
from tests.factories import ORG, make_failure, make_new_action, make_new_run, make_report
from tests.integration.link.conftest import (
    TIMEOUT_SECONDS,
    LinkUnderTest,
    calling,
    lease_of,
)

FORGET = link_pb2.VerdictOnLease.KIND_FORGET
APPLIED, REPEATED, STALE = (
    status.value for status in (AckStatus.APPLIED, AckStatus.REPEATED, AckStatus.STALE)
)


async def test_report_is_acknowledged_after_its_commit(
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


async def test_report_of_a_deleted_run_is_stale_and_holds_up_no_other(
    link: LinkUnderTest, owner_database_url: str
) -> None:
    """An operator deleted the row of a run by hand, and left its actions."""
    deleted = await link.store.create(make_new_run("ra"))
    other = await link.store.create(make_new_run("rb"))
    async with calling(link) as agent:
        await agent.open()
        held = {str(each.key.run.name): each for each in await agent.take(2)}
        await agent.accept(*held.values())
        owner = await asyncpg.connect(owner_database_url)
        await owner.execute("DELETE FROM runs WHERE run_id = $1", deleted)
        await owner.close()
        done = [make_report(held[name], 1, Phase.SUCCEEDED) for name in ("ra", "rb")]
        await agent.say_reports(*done)
        answers: dict[bytes, int] = {}
        while len(answers) < 2:
            answer = (await agent.hear("acknowledgements")).acknowledgements
            answers |= {each.attempt.action_id: each.verdict for each in answer.acknowledgements}
        assert [answers[report.attempt.action.bytes] for report in done] == [STALE, APPLIED]
    assert await link.store.phase(other) is Phase.SUCCEEDED


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


async def test_invalid_report_ends_the_session_with_its_field(
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
async def test_frame_of_too_many_items_is_refused(
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


async def test_reports_over_one_commit_are_all_acknowledged(
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
