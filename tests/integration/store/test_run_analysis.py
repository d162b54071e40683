"""Tests of attempts, failures, critical path and activity of runs, as the use case reads them."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from controlplane.core.actions import ActionType, ConditionInfo
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.reason_codes import Reason
from controlplane.store.dispatch.dispatches import return_unaccepted
from controlplane.usecases.run_analysis import RunAnalysis
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.factories import (
    NOW,
    ORG,
    make_action_key,
    make_failure,
    make_new_action,
    make_new_run,
    make_report,
    make_run_key,
)
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.operations import OPERATOR


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


LATER = at(100)


@pytest.fixture
def analysis(store: Store) -> RunAnalysis:
    return RunAnalysis(store.database, FakeClock(LATER))


async def execute(store: Store, statement: str, **values: object) -> None:
    async with store.database.for_org(ORG) as tx:
        await tx.execute(text(statement), values)


async def claim_by_name(store: Store, most: int = 10) -> dict[str, Assignment]:
    return {each.key.name: each for each in await store.claim(most)}


async def test_attempts_have_their_lease_epoch_and_budget(
    store: Store, analysis: RunAnalysis
) -> None:
    await execute(store, "UPDATE clusters SET epoch = 7 WHERE org = :org")
    await store.create(make_new_run(retries=1))
    [first] = await store.claim()
    async with store.database.for_org(ORG) as tx:
        assert await return_unaccepted(tx, CLUSTER, at(1)) == 1
    [again] = await store.claim(now=at(2))
    await store.report(make_report(again, 1, Phase.FAILED, failure=make_failure(), at=NOW))
    await store.claim(now=at(3))

    attempts, after = await analysis.list_attempts(OPERATOR, make_action_key(), after=0, limit=1)
    assert after == 1
    [failed] = attempts
    assert (failed.epoch, failed.lease, failed.cluster) == (7, str(again.lease), CLUSTER)
    assert failed.lease != str(first.lease)
    assert (failed.ended_by, failed.charged) == (f"cluster {CLUSTER}", FailureKind.USER)
    [returned] = failed.returned
    assert (returned.leased_at, returned.returned_at) == (NOW, at(1))
    [second], after = await analysis.list_attempts(OPERATOR, make_action_key(), after=1, limit=1)
    assert (second.number, second.ended_by, second.returned, after) == (2, "", [], None)


async def test_abort_of_an_action_names_who_did_it(store: Store, analysis: RunAnalysis) -> None:
    run = await store.create(make_new_run())
    [lease] = await store.claim()
    await store.abort(run)
    await store.report(make_report(lease, 1, Phase.ABORTED, at=NOW))
    [[attempt], _] = await analysis.list_attempts(OPERATOR, make_action_key(), after=0, limit=5)
    assert (attempt.ended_by, attempt.charged) == ("someone", None)


async def test_failures_are_grouped_by_cause_with_retries(
    store: Store, analysis: RunAnalysis
) -> None:
    await store.create(make_new_run())
    names = [f"c{number}" for number in range(4)]
    await store.enqueue(*(make_new_action(name, retries=1) for name in names))
    oom = replace(make_failure(), code="OOMKilled", recoverable=False)
    for round_number in range(2):
        leased = await claim_by_name(store)
        for number, name in enumerate(names):
            if name not in leased:
                continue
            message = (
                f"Traceback (most recent call last):\n  x\nNoDisk: 0x7f{number}ab at 10:0{number}\n"
            )
            failure = oom if number == 3 else replace(make_failure(), message=message)
            await store.report(
                make_report(leased[name], 1, Phase.FAILED, failure=failure, at=at(round_number))
            )
    groups, token = await analysis.list_failures(OPERATOR, make_run_key(), token="", limit=1)
    [disk] = groups
    assert (disk.kind, disk.code) == (FailureKind.USER, "Broken")
    assert disk.message == "NoDisk: # at #"
    assert (disk.attempts, disk.actions, disk.ended) == (6, 3, 3)
    assert (disk.first_at, disk.last_at) == (NOW, NOW)  # no report is from the future
    assert list(disk.examples) == ["c0", "c1", "c2"]
    groups, token = await analysis.list_failures(OPERATOR, make_run_key(), token=token, limit=1)
    assert [(group.code, group.attempts, group.ended) for group in groups] == [("OOMKilled", 1, 1)]
    assert token == ""


async def test_trace_that_failed_is_a_failure_without_an_attempt(
    store: Store, analysis: RunAnalysis
) -> None:
    await store.create(make_new_run())
    await store.enqueue(make_new_action("t1"))
    await execute(
        store,
        "UPDATE actions SET error_code = 'TraceFailed', error_kind = 1, error_message = 'no',"
        " error_recoverable = false, error_uri = '', ended_at = :now WHERE name = 't1'",
        now=NOW,
    )
    groups, _ = await analysis.list_failures(OPERATOR, make_run_key(), token="", limit=5)
    assert [(group.code, group.message, group.ended) for group in groups] == [
        ("TraceFailed", "no", 1)
    ]


async def make_finished_run(store: Store) -> None:
    """A root runs from 10 to 100; its child waits from 20 to 50, and runs until 90."""
    await store.create(make_new_run())
    await store.enqueue(make_new_action("c1"), make_new_action("fast"))
    await store.claim()
    times = (("a0", 0, 0, 10, 100), ("c1", 20, 20, 50, 90), ("fast", 20, 20, 21, 30))
    for name, created, available, started, ended in times:
        values = {"name": name, "a": at(created), "b": at(available), "c": at(started)}
        await execute(
            store,
            "UPDATE actions SET created_at = :a, started_at = :c, ended_at = :d, phase = 5"
            " WHERE name = :name AND CAST(:b AS timestamptz) IS NOT NULL",
            **values,
            d=at(ended),
        )
        await execute(
            store,
            "UPDATE attempts SET available_at = :b, leased_at = :c, accepted_at = :c,"
            " started_at = :c, ended_at = :d, phase = 5"
            " WHERE action_id = (SELECT id FROM actions WHERE name = :name)"
            " AND CAST(:a AS timestamptz) IS NOT NULL",
            **values,
            d=at(ended),
        )
        await execute(
            store,
            "INSERT INTO action_events (org, action_id, attempt, version, at, phase, reason, message)"
            " SELECT org, id, 1, 1, :c, 4, '', '' FROM actions WHERE name = :name",
            name=name,
            c=at(started),
        )
    await execute(store, "DELETE FROM dispatches WHERE org = :org")
    await execute(
        store,
        "INSERT INTO obstacles (org, scope, name, began_at, ended_at, reason, message)"
        " VALUES (:org, 1, '', :began, :ended, 'no_credit', 'full')",
        began=at(20),
        ended=at(40),
    )


async def test_critical_path_explains_waiting_by_reason(
    store: Store, analysis: RunAnalysis
) -> None:
    await make_finished_run(store)
    path = await analysis.critical_path(OPERATOR, make_run_key())
    assert [
        (piece.action, piece.reason, (piece.ended_at - piece.began_at).seconds)
        for piece in path.pieces
    ] == [
        ("a0", Reason.FAIRNESS, 10),
        ("a0", Reason.RUNNING, 10),
        ("c1", Reason.NO_CREDIT, 20),
        ("c1", Reason.FAIRNESS, 10),
        ("c1", Reason.RUNNING, 40),
        ("a0", Reason.RUNNING, 10),
    ]
    assert path.pieces[0].began_at == NOW
    assert path.pieces[-1].ended_at == at(100)
    assert path.message.startswith("Of 1m 40s: 40% env.child ran, 20% ")
    assert not path.truncated


async def test_activity_counts_running_and_waiting_by_reason(
    store: Store, analysis: RunAnalysis
) -> None:
    await make_finished_run(store)
    found = await analysis.activity(OPERATOR, make_run_key(), since=None, until=None, buckets=10)
    assert (found.since, found.until) == (NOW, at(100))
    assert [round(bucket.running, 1) for bucket in found.buckets] == [
        *(0.0, 1.0, 1.9, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0)
    ]
    assert found.buckets[0].waiting == {Reason.FAIRNESS: pytest.approx(1)}
    assert found.buckets[2].waiting == {Reason.NO_CREDIT: pytest.approx(1.1)}
    assert found.buckets[3].waiting == {Reason.NO_CREDIT: pytest.approx(1)}
    assert found.buckets[4].waiting == {Reason.FAIRNESS: pytest.approx(1)}
    assert found.buckets[5].waiting == {}
    part = await analysis.activity(OPERATOR, make_run_key(), since=at(50), until=at(60), buckets=1)
    assert [bucket.running for bucket in part.buckets] == [pytest.approx(2)]


async def test_activity_of_a_live_run_counts_what_waits_now(
    store: Store, analysis: RunAnalysis
) -> None:
    await store.create(make_new_run())
    info = ConditionInfo(literal_type=b"", timeout=None)
    condition = make_new_action("cond", kind=ActionType.CONDITION)
    await store.enqueue(make_new_action("c1"), replace(condition, condition=info))
    found = await analysis.activity(OPERATOR, make_run_key(), since=None, until=None, buckets=2)
    assert [dict(bucket.waiting) for bucket in found.buckets] == [
        {Reason.FAIRNESS: pytest.approx(2), Reason.SIGNAL: pytest.approx(1)}
    ] * 2
    path = await analysis.critical_path(OPERATOR, make_run_key())
    assert path.pieces[-1].ended_at == LATER


async def test_bad_requests_about_a_run_are_refused(store: Store, analysis: RunAnalysis) -> None:
    await store.create(make_new_run())
    run, foreign = make_run_key(), "x"
    with pytest.raises(InvalidError, match="buckets: must be from 0 to 500"):
        await analysis.activity(OPERATOR, run, since=None, until=None, buckets=501)
    with pytest.raises(InvalidError, match="until: must be after since"):
        await analysis.activity(OPERATOR, run, since=at(1), until=at(1), buckets=0)
    with pytest.raises(NotFoundError, match="action"):
        await analysis.list_attempts(OPERATOR, make_action_key("missing"), after=0, limit=5)
    with pytest.raises(NotFoundError, match="run"):
        await analysis.critical_path(OPERATOR, make_run_key("missing"))
    with pytest.raises(InvalidError, match="page_token"):
        await analysis.list_failures(OPERATOR, run, token=foreign, limit=1)
