"""Tests of rows written by a later release, as read during a roll-out or after a rollback."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from controlplane.core.actions import ActionType, RunSource, SpecKind
from controlplane.core.pending_reasons import BlockedKind
from controlplane.core.projects import ProjectState
from controlplane.core.reason_codes import Reason
from controlplane.loops.pending_reasons import LEFT_TO_OTHERS, PendingReasonRecorder
from controlplane.store.dispatch import drains, explanations, pending_reasons
from controlplane.store.resources import projects
from controlplane.store.resources.action_snapshots import read_changed
from controlplane.store.resources.actions import list_changed
from controlplane.store.rows import parse_enum
from shared.model.ids import ProjectName
from shared.model.phases import Phase
from shared.model.reports import AckStatus, FailureKind
from tests.factories import NOW, ORG, make_action_key, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def owner(owner_database_url: str) -> AsyncIterator[Owner]:
    connection = await asyncpg.connect(owner_database_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "unknown",
    [
        Phase.UNKNOWN,
        FailureKind.UNKNOWN,
        ActionType.UNKNOWN,
        SpecKind.UNKNOWN,
        RunSource.UNSPECIFIED,
        ProjectState.UNKNOWN,
        BlockedKind.UNKNOWN,
        Reason.UNKNOWN,
    ],
    ids=lambda unknown: type(unknown).__name__,
)
def test_unknown_value_parses_to_unknown_and_known_values_to_themselves(
    unknown: Phase | Reason,
) -> None:
    assert parse_enum(99, unknown) is unknown
    assert parse_enum("of a later release", unknown) is unknown
    for member in type(unknown):
        assert parse_enum(member.value, unknown) is member


async def test_rows_with_unknown_values_are_read_wherever_rows_are_read(
    store: Store, owner: Owner
) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    for statement in (
        "UPDATE actions SET phase = 99, type = 99, error_code = 'New', error_kind = 99",
        "UPDATE attempts SET phase = 99",
        "UPDATE action_events SET phase = 99",
        "UPDATE runs SET source = 99",
        "UPDATE specs SET kind = 99",
        "UPDATE projects SET state = 99",
    ):
        assert await owner.execute(statement) != "UPDATE 0", statement

    async with store.database.for_org(ORG) as tx:
        [row] = await list_changed(tx, run, after=0, most=10)
        [similar] = (await read_changed(tx, run, after=0, most=10)).similar
        project = await projects.find_project(tx, ProjectName("p"))
        [left] = await drains.list_remaining(tx, CLUSTER)
        explained = await explanations.find_timings(tx, run, make_action_key("a0"), NOW)
        [dispatch] = await explanations.list_dispatches(tx, run, make_action_key("a0").run, most=10)
    assert (similar.example, similar.phases) == (row, [Phase.UNKNOWN])
    assert (row.phase, row.type, row.source) == (
        Phase.UNKNOWN,
        ActionType.UNKNOWN,
        RunSource.UNSPECIFIED,
    )
    assert row.failure is not None
    assert row.failure.kind is FailureKind.UNKNOWN
    assert (await store.detail(run)).spec_kind is SpecKind.UNKNOWN
    assert project is not None
    assert project.project.state is ProjectState.UNKNOWN
    assert left.phase is Phase.UNKNOWN
    assert explained is not None
    assert explained[0].phase is Phase.UNKNOWN
    assert dispatch.phase is Phase.UNKNOWN


async def test_attempts_with_unknown_phases_are_shown(store: Store, owner: Owner) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await store.report(make_report(assignment, 1, Phase.RUNNING))
    await owner.execute("UPDATE attempts SET phase = 99")
    await owner.execute("UPDATE action_events SET phase = 99")
    [attempt] = (await store.detail(run)).attempts
    assert attempt.phase is Phase.UNKNOWN
    assert [change.phase for change in attempt.transitions] == [Phase.QUEUED, Phase.UNKNOWN]


@pytest.mark.parametrize("table", ["actions", "attempts"])
async def test_report_on_an_unreadable_row_changes_nothing_and_is_not_acknowledged(
    store: Store, owner: Owner, table: str
) -> None:
    run = await store.create(make_new_run())
    [assignment] = await store.claim()
    await owner.execute(f"UPDATE {table} SET phase = 99")  # noqa: S608
    ended = make_report(assignment, 1, Phase.SUCCEEDED)
    assert await store.report(ended) == []
    assert await store.count("dispatches") == 1
    assert await owner.fetchval(f"SELECT phase FROM {table}") == 99  # noqa: S608

    await owner.execute(f"UPDATE {table} SET phase = 1")  # noqa: S608  # the upgrade is complete
    assert await store.report(ended) == [AckStatus.APPLIED]
    assert await store.phase(run) is Phase.SUCCEEDED


async def _begin_pending_reason(owner: Owner, reason: str) -> None:
    await owner.execute(
        "INSERT INTO obstacles (org, scope, name, began_at, reason) VALUES ($1, 1, '', $2, $3)",
        ORG,
        NOW,
        reason,
    )


async def test_pending_reason_of_a_later_release_is_left_to_its_replicas_for_a_while(
    store: Store, owner: Owner
) -> None:
    await _begin_pending_reason(owner, "reason of a later release")
    clock = FakeClock(NOW)
    record = PendingReasonRecorder(
        store.database, clock, keep=timedelta(days=30), every=timedelta(seconds=1)
    )

    assert await record.run_once() == 0
    open_ = "SELECT reason FROM obstacles WHERE ended_at IS NULL"
    assert await owner.fetchval(open_) == "reason of a later release"
    async with store.database.for_fleet("a test looks") as tx:
        [past] = (await pending_reasons.list_there(tx)).values()
    assert past.reason is Reason.UNKNOWN

    clock.advance(LEFT_TO_OTHERS)  # it was rolled back
    assert await record.run_once() == 1
    assert await owner.fetchval(open_) == Reason.NO_CLUSTER.value


async def test_pending_reason_of_an_unknown_scope_is_left_alone(store: Store, owner: Owner) -> None:
    await owner.execute(
        "INSERT INTO obstacles (org, scope, name, began_at) VALUES ($1, 99, 'x', $2)", ORG, NOW
    )
    record = PendingReasonRecorder(
        store.database, FakeClock(NOW), keep=timedelta(days=30), every=timedelta(seconds=1)
    )
    await record.run_once()
    assert await owner.fetchval("SELECT count(*) FROM obstacles WHERE ended_at IS NULL") == 2
