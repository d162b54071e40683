"""Tests that the model and Postgres give the same answers to random steps in random order."""

from collections.abc import AsyncIterator
from random import Random

import pytest
from sqlalchemy import text

from controlplane.store.database import Database, open_database
from controlplane.store.resources.clusters import save_cluster, save_org
from tests.contract.store.steps import CLUSTERS, Steps
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock
from tests.running import running
from tests.simulation.model import ModelStore

SEEDS = range(6)
LENGTH = 60


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url)
    async with database.for_org(ORG) as tx:
        await save_org(tx, NOW)
        for cluster in CLUSTERS:
            await save_cluster(tx, cluster, cluster.encode(), NOW)
        await tx.connection.execute(
            text(
                "INSERT INTO projects (org, project, created_at, updated_at)"
                " VALUES (:org, 'p', now(), now())"
            ),
            {"org": ORG},
        )
    yield database
    await database.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_simulation_model_answers_as_postgres_does(seed: int, database: Database) -> None:
    chance = Random(seed)
    clock = FakeClock(NOW)
    steps = Steps(chance, clock, ModelStore(chance, NOW), database)
    async with database.for_fleet("begin at the model's beginning") as tx:
        await tx.connection.execute(
            text("UPDATE control_clock SET served = interval '0', ticked_at = :now"), {"now": NOW}
        )
    kinds = [
        *(steps.create, steps.enqueue, steps.enqueue, steps.enqueue, steps.open),
        *(steps.record_heartbeat, steps.claim, steps.claim, steps.claim, steps.list_stops),
        *(
            steps.reconcile_inventory,
            steps.reconcile_inventory,
            steps.commit_reports,
            steps.commit_reports,
            steps.commit_reports,
        ),
        *(steps.commit_reports, steps.commit_reports, steps.run_passes, steps.run_passes),
        *chance.choices([steps.abort, steps.close, steps.wait_long], k=3),
    ]
    taken = []
    async with running(steps.sessions, at_most=60):
        for kind in [steps.create, steps.open, *chance.choices(kinds, k=LENGTH)]:
            modelled, real = await kind()
            taken.append(f"{kind.__name__}: {modelled}")
            last_reported = "\n".join(taken[-12:])
            assert modelled == real, f"seed {seed}, after\n{last_reported}"
            expected, found = await steps.state()
            assert expected == found, f"seed {seed}, after\n{last_reported}"
