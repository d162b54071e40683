"""Reports of leases that are not current change nothing, and are recorded with their attempt."""

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text

from controlplane.core.action_timings import MOST_REFUSED
from controlplane.store.dispatch.dispatches import return_unaccepted
from controlplane.usecases.run_analysis import RunAnalysis
from shared.kit.clock import SystemClock
from shared.model.assignments import Assignment
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId
from shared.model.phases import Phase
from shared.model.reports import AckStatus
from tests.factories import NOW, ORG, make_action_key, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.operations import OPERATOR, Operations

APPLIED, STALE = AckStatus.APPLIED, AckStatus.STALE


@pytest.fixture
def analysis(store: Store) -> RunAnalysis:
    return RunAnalysis(store.database, SystemClock())


async def lose_lease(store: Store) -> tuple[Assignment, Assignment]:
    """Lease a new run's root twice; return the assignment that went back, and the current one."""
    await store.create(make_new_run())
    [first] = await store.claim()
    async with store.database.for_org(ORG) as tx:
        assert await return_unaccepted(tx, CLUSTER, NOW) == 1
    [second] = await store.claim()
    return first, second


async def count_events(store: Store) -> int:
    async with store.database.for_org(ORG) as tx:
        [row] = await tx.rows(text("SELECT count(*) AS n FROM action_events WHERE org = :org"))
    return int(row.n)


async def test_report_of_a_lost_lease_is_shown_with_its_attempt_and_explanation(
    store: Store, analysis: RunAnalysis
) -> None:
    lost, current = await lose_lease(store)
    assert await store.report(make_report(lost, 1, Phase.SUCCEEDED)) == [STALE]
    assert await store.report(make_report(current, 1, Phase.RUNNING)) == [APPLIED]

    [[attempt], _] = await analysis.list_attempts(OPERATOR, make_action_key(), after=0, limit=5)
    [refused] = attempt.refused
    assert (refused.cluster, refused.lease) == (CLUSTER, str(lost.lease))
    assert (refused.phase, attempt.phase) == (Phase.SUCCEEDED, Phase.RUNNING)
    assert len(attempt.returned) == 1  # its lease went back

    async with Operations.on(store, FakeClock(NOW)) as operations:
        explained = await operations.explanations.action(OPERATOR, make_action_key())
    assert explained.refused == [refused]
    assert explained.phase is Phase.RUNNING
    assert "succeeded" not in " ".join(each.message for each in explained.timeline)


async def test_repeated_refused_report_is_recorded_once_and_others_up_to_a_limit(
    store: Store, analysis: RunAnalysis
) -> None:
    lost, _ = await lose_lease(store)
    for _ in range(3):  # its acknowledgement is lost
        assert await store.report(make_report(lost, 1, Phase.RUNNING)) == [STALE]
    [[attempt], _] = await analysis.list_attempts(OPERATOR, make_action_key(), after=0, limit=5)
    assert len(attempt.refused) == 1

    many = [make_report(lost, version, Phase.RUNNING) for version in range(2, 40)]
    assert set(await store.report(*many)) == {STALE}
    forged = [
        make_report(replace(lost, lease=LeaseId(uuid4())), 1, Phase.RUNNING) for _ in range(40)
    ]
    for report in forged:
        await store.report(report)
    [[attempt], _] = await analysis.list_attempts(OPERATOR, make_action_key(), after=0, limit=5)
    assert len(attempt.refused) == MOST_REFUSED


async def test_refused_reports_of_unknown_attempts_and_applied_ones_record_nothing(
    store: Store,
) -> None:
    await store.create(make_new_run())
    [current] = await store.claim()
    assert await store.report(make_report(current, 1, Phase.RUNNING)) == [APPLIED]
    before = await count_events(store)
    unknown = replace(current, attempt=AttemptId(ActionId(uuid4()), 1))
    later = replace(current, attempt=AttemptId(current.attempt.action, 9))
    answers = await store.report(
        make_report(unknown, 1, Phase.FAILED), make_report(later, 1, Phase.FAILED)
    )
    assert answers == [STALE, STALE]
    assert await count_events(store) == before


async def test_report_from_another_cluster_names_it(store: Store, analysis: RunAnalysis) -> None:
    await store.create(make_new_run())
    [current] = await store.claim()
    other = ClusterName("other")
    assert await store.report(make_report(current, 1, Phase.SUCCEEDED), cluster=other) == [STALE]
    [[attempt], _] = await analysis.list_attempts(OPERATOR, make_action_key(), after=0, limit=5)
    assert [each.cluster for each in attempt.refused] == [other]
    assert attempt.phase is Phase.QUEUED
