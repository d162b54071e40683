"""
Tests that statements on sets of triggers, of their runs, and of an org's people and credentials
examine rows in proportion to their set: 250 and 1,000, with 20,000 others of each.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from controlplane.core.actions import RunTrigger
from controlplane.core.artifact_triggers import QueuedFiring
from controlplane.core.artifacts import ArtifactKey, ArtifactName
from controlplane.core.callers import Subject
from controlplane.core.credentials import CredentialKind
from controlplane.core.firings import record_started
from controlplane.core.lists import MAX_LIMIT, Listing
from controlplane.core.profiles import SERVICE_ACCOUNT, USER, subject_of
from controlplane.core.schedules import RateSchedule
from controlplane.core.scopes import Scope
from controlplane.core.tasks import TaskScope
from controlplane.core.triggers import (
    AutomationType,
    NewTrigger,
    TriggerKey,
    TriggerRow,
    advance,
    deploy,
)
from controlplane.store.credentials.revocations import revoke_all
from controlplane.store.database import Database, OrgTx, open_database
from controlplane.store.dispatch.artifact_firings import finish_firings
from controlplane.store.dispatch.firings import find_live_runs, lock_due, save_progress
from controlplane.store.identity.profiles import find_profiles
from controlplane.store.resources.run_batches import TriggeredRun, create_triggered_runs
from controlplane.store.resources.runs import Created
from controlplane.store.resources.scoped_settings import list_records_of
from controlplane.store.resources.tasks import list_tasks
from controlplane.store.resources.trigger_firings import record_firings
from controlplane.store.resources.triggers import find_trigger, lock_triggers, save_triggers
from shared.kit.uuids import new_uuid
from shared.model.ids import DomainName, ProjectName, RunId
from tests.factories import NOW, ORG, make_new_run
from tests.integration.store.conftest import Store
from tests.integration.store.examined import Examined, examining, explain_everything
from tests.servers.postgres import DatabaseForTest, PostgresForTests

OTHERS = 20_000
SIZES = (250, 1_000)
A_ROW = 60
"""Rows that a statement may examine for each row of its set, as in test_examined.py."""
PROJECT, DOMAIN = ProjectName("p"), DomainName("development")
MINUTE = timedelta(minutes=1)

OF_TRIGGERS = {
    "artifact_firings._FINISH",
    "firings._ADVANCE",
    "firings._LIVE_RUNS",
    "profiles._FIND",
    "revocations._INSERT",
    "run_rows._INSERT_DISPATCHES",
    "run_rows._INSERT_ROOTS",
    "run_rows._INSERT_RUNS",
    "run_batches._WHY_NOT",
    "scoped_settings._FIND",
    "tasks._SUMMARIES",
    "trigger_firings._RECORD",
    "triggers._FIND",
    "triggers._LOCK",
    "triggers._SAVE",
}

FILL = """
INSERT INTO specs (org, digest, kind, body, created_at)
    VALUES ('acme', sha256('spec'), 5, 'spec', now()) ON CONFLICT DO NOTHING;
INSERT INTO tasks (org, project, domain, name, version, spec, deployed_at)
    SELECT 'acme', 'p', 'development', 'env.t' || n, 'v1', sha256('spec'), now() - n * interval '1 s'
    FROM generate_series(1, 20000) n;
INSERT INTO triggers (org, project, domain, task_name, name, revision, action, task_version, spec,
                      automation, automation_type, active, input_uri, description, origin,
                      deployed_by, updated_by, deployed_at, updated_at, cron, zone)
    SELECT 'acme', 'p', 'development', 'env.t' || n, 'n', 1, 1, 'v1', sha256('spec'), '', 2, false,
           'file:///i', '', 0, 'ada', 'ada', now(), now(), '0 1 * * *', 'UTC'
    FROM generate_series(1, 20000) n;
INSERT INTO trigger_revisions (org, project, domain, task_name, name, revision, action, task_version,
                               spec, automation, automation_type, active, input_uri, description,
                               origin, deployed_by, updated_by, deployed_at, updated_at)
    SELECT org, project, domain, task_name, name, revision, action, task_version, spec, automation,
           automation_type, active, input_uri, description, origin, deployed_by, updated_by,
           deployed_at, updated_at
    FROM triggers;
INSERT INTO trigger_firings (org, project, domain, task_name, name, number, outcome, reason, instant,
                             last_instant, instants, decided_at)
    SELECT org, project, domain, task_name, name, 1, 1, 'on_time', now(), now(), 1, now()
    FROM triggers;
INSERT INTO artifact_firings (org, project, domain, task_name, name, artifact, version, created_at,
                              due_at)
    SELECT org, project, domain, task_name, name, 'model', task_name, now(), now() FROM triggers;
INSERT INTO scoped_settings (org, domain, project, body, version, updated_by, updated_at)
    SELECT 'acme', 'development', 'p' || n, '{}', 1, 'ada', now() FROM generate_series(1, 20000) n;
INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, created_at,
                  started_at, trigger_task, trigger_name)
    SELECT 'acme', md5('run' || n)::uuid, 'p', 'development', 'r' || n, 1, '', 'b', now(), now(),
           'env.t' || n, 'n'
    FROM generate_series(1, 20000) n;
INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change, created_at,
                     updated_at)
    SELECT org, run_id, run_id, 'a0', 1, '', 'i', 5, 1, created_at, created_at FROM runs
    WHERE run <> 'others';
INSERT INTO members (org, user_id, created_at)
    SELECT 'acme', ('00000000-0000-0000-0001-' || lpad(to_hex(n), 12, '0'))::uuid, now()
    FROM generate_series(1, 20000) n;
INSERT INTO service_accounts (org, account_id, name, created_at)
    SELECT 'acme', ('00000000-0000-0000-0001-' || lpad(to_hex(n), 12, '0'))::uuid, 'a' || n, now()
    FROM generate_series(1, 20000) n;
INSERT INTO revocations (org, credential_kind, credential_id, revoked_at, expires_at)
    SELECT 'acme', 1, 'c' || n, now(), now() FROM generate_series(1, 20000) n;
"""


@pytest.fixture(params=["analysed", "never"])
async def measured(
    request: pytest.FixtureRequest,
    store: Store,
    postgres_server: PostgresForTests,
    test_database: DatabaseForTest,
) -> AsyncIterator[tuple[Database, Examined, int]]:
    """A database, the rows that its statements examine, and the rows of a scan that is allowed."""
    await explain_everything(postgres_server.superuser_url, test_database.name)
    await store.create(make_new_run("others"))  # with its project
    owner = await asyncpg.connect(test_database.owner_url)
    for table in ("actions", "members", "runs", "service_accounts", "tasks", "triggers"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await owner.execute(FILL)
    if request.param == "analysed":
        await owner.execute("ANALYZE")
    await owner.close()
    database = open_database(test_database.url, pool_size=1, fleet_pool_size=1)
    with examining(database) as seen:
        # A large set may be looked up by reading the table once, but not once for each row.
        yield database, seen, 2 * OTHERS
    await database.close()


@pytest.mark.parametrize("size", SIZES)
async def test_statement_on_triggers_examines_rows_in_proportion_to_them(
    measured: tuple[Database, Examined, int], size: int
) -> None:
    database, seen, table = measured
    async with database.for_org(ORG) as tx:
        await tx.plan_for(size)
        rows = await deploy_triggers(tx, size)
        await fire(tx, rows)
        await use_people_and_credentials(tx, size)
    assert set(seen.rows) >= OF_TRIGGERS, sorted(OF_TRIGGERS - set(seen.rows))
    too_many = [
        f"{name}: {seen.rows[name]}\n{seen.plans[name]}"
        for name in OF_TRIGGERS
        if seen.rows[name] > A_ROW * size + table
    ]
    assert not too_many, "\n\n".join(too_many)


async def deploy_triggers(tx: OrgTx, size: int) -> list[TriggerRow]:
    rows = [
        deploy(
            NewTrigger(
                key=TriggerKey(PROJECT, DOMAIN, f"env.t{number + 1}", "due"),
                task_version="v1",
                spec=b"spec",
                automation=b"",
                automation_type=AutomationType.SCHEDULE,
                active=True,
                input_uri="file:///i",
                schedule=RateSchedule(MINUTE, NOW),
            ),
            None,
            by="ada",
            now=NOW,
        )
        for number in range(size)
    ]
    await save_triggers(tx, rows)
    rows = [replace(row, revision=2) for row in rows]
    await save_triggers(tx, rows)
    assert len(await lock_triggers(tx, [row.key for row in rows])) == size
    assert await find_trigger(tx, rows[0].key) is not None
    queued = [
        QueuedFiring(
            org=ORG,
            trigger=replace(row.key, name="n"),
            artifact=ArtifactKey(ArtifactName(PROJECT, DOMAIN, "model"), row.key.task_name),
            tries=0,
            created_at=NOW,
        )
        for row in rows
    ]
    assert len(await finish_firings(tx, queued)) == size
    page = await list_tasks(tx, TaskScope(project=PROJECT, domain=DOMAIN), Listing(limit=MAX_LIMIT))
    assert all(row.triggers is not None for row in page.rows)
    return rows


async def fire(tx: OrgTx, rows: list[TriggerRow]) -> None:
    now = NOW + MINUTE
    due = await lock_due(tx, now, most=len(rows))
    assert len(due) == len(rows)
    for outcome in (Created.CREATED, Created.REPEATED):
        runs = [make_run(each.row, number) for number, each in enumerate(due)]
        answers = await create_triggered_runs(tx, runs, now)
        assert set(answers.values()) == {outcome}
    keys = [each.row.key for each in due]
    assert len(await find_live_runs(tx, keys)) == len(due)
    scopes = [Scope("development", f"p{number + 1}") for number in range(len(due))]
    assert len(await list_records_of(tx, scopes)) == len(due)
    after = [
        record_started(each.row, advance(each.row, each.fire_at, now), each.fire_at, "r", now)
        for each in due
    ]
    await save_progress(tx, [row for row, _ in after])
    await record_firings(tx, [(row.key, firing) for row, [firing] in after], now)


def make_run(row: TriggerRow, number: int) -> TriggeredRun:
    trigger = RunTrigger(
        task_name=row.key.task_name,
        name=row.key.name,
        revision=row.revision,
        automation=row.automation,
    )
    new = replace(make_new_run(f"due{number}"), trigger=trigger, started_at=NOW)
    return TriggeredRun(RunId(new_uuid(NOW)), new, by="ada")


async def use_people_and_credentials(tx: OrgTx, size: int) -> None:
    first = UUID("00000000-0000-0000-0001-000000000001").int
    ids = [UUID(int=first + number) for number in range(size)]
    subjects: list[Subject] = [
        subject_of(kind, id_) for kind in (USER, SERVICE_ACCOUNT) for id_ in ids
    ]
    assert len(await find_profiles(tx, subjects)) == 2 * size
    credentials = [
        f"c{number}" for number in range(size)
    ]  # all but one are there, and are extended
    await revoke_all(tx, ORG, CredentialKind.API_KEY, credentials, NOW)
