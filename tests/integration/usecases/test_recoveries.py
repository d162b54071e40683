"""Recoveries at size: a run of ten thousand actions that succeeded in another run."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from controlplane.api.streams import closing
from controlplane.core.actions import SnapshotEnd
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.relations import Relation, RelationType
from controlplane.feeds.feeds import Feeds
from controlplane.store.dispatch.recoveries import find_source
from controlplane.store.notify.notifications import listen
from controlplane.usecases.actions import Actions
from shared.blobs.store import BlobStore, open_store
from shared.kit.clock import SystemClock
from shared.model.ids import ROOT, ActionKey, RunId, RunName
from shared.model.phases import Phase
from tests.factories import ORG, make_new_action, make_new_run, make_run_key
from tests.integration.runs import make_actions
from tests.integration.store.conftest import Store, store
from tests.integration.store.examined import counting_statements
from tests.integration.store.wide import add_children
from tests.running import running

__all__ = ["store"]

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))
CHILDREN = 10_000
ONE_IS_LOST = 7

_END_ROOT = text("UPDATE actions SET phase = 6 WHERE org = :org AND id = :run_id")
_GIVE_OUTPUTS = text(
    "UPDATE actions SET output_uri = :uri || CASE WHEN name = :lost THEN '-lost' ELSE '' END"
    " WHERE org = :org AND run_id = :run_id AND parent = 'a0'"
)
_MAKE_TRACES = text(
    "UPDATE actions SET type = 2, output_uri = output_uri || '/outputs.pb'"
    " WHERE org = :org AND run_id = :run_id AND parent = 'a0'"
)
_PHASES = text("SELECT phase FROM actions WHERE org = :org AND run_id = :run_id AND parent = 'a0'")


@dataclass(frozen=True, slots=True)
class World:
    store: Store
    blobs: BlobStore
    actions: Actions
    source: RunId

    async def recover(self) -> RunId:
        """Start a run that recovers the source, which has ended."""
        related = Relation(RelationType.RECOVER, RunName("source"))
        async with self.store.database.for_org(ORG) as tx:
            found = await find_source(tx, make_run_key("source"))
        return await self.store.create(
            replace(make_new_run("again"), relation=related, source_run=found)
        )

    async def phases(self, run: RunId) -> Counter[Phase]:
        async with self.store.database.for_org(ORG) as tx:
            return Counter(Phase(row.phase) for row in await tx.rows(_PHASES, {"run_id": run}))


def child(number: int) -> str:
    return f"a0-w{number:06}"


@pytest.fixture
async def world(store: Store, database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    blobs = open_store(f"file://{tmp_path}")
    prefix = f"{blobs.base}/{ORG}/p/development/source/shared/1"
    await blobs.write(f"{prefix}/outputs.pb", b"")
    source = await store.create(make_new_run("source"))
    await add_children(store.database, source, CHILDREN, ended=CHILDREN)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(_END_ROOT, {"run_id": source})
        lost = child(ONE_IS_LOST)
        await tx.execute(_GIVE_OUTPUTS, {"run_id": source, "uri": prefix, "lost": lost})
    feeds = Feeds(store.database, partial(listen, database_url))
    actions = make_actions(store.database, feeds, SystemClock(), blobs)
    async with running(actions, at_most=200):
        yield World(store, blobs, actions, source)


async def test_recovery_of_ten_thousand_tasks_takes_statements_for_batches_of_them(
    world: World,
) -> None:
    again = await world.recover()
    new = [make_new_action(child(number), run="again") for number in range(1, CHILDREN + 1)]

    with counting_statements(world.store.database) as executed:
        await asyncio.gather(*(world.actions.enqueue(CALLER, each) for each in new))

    assert await world.phases(again) == {Phase.RECOVERED: CHILDREN - 1, Phase.QUEUED: 1}
    assert len(executed) < CHILDREN / 2


async def test_first_watch_below_a_task_recovers_ten_thousand_traces_in_pages(
    world: World,
) -> None:
    async with world.store.database.for_org(ORG) as tx:
        await tx.execute(_MAKE_TRACES, {"run_id": world.source})
    again = await world.recover()

    parent = ActionKey(make_run_key("again"), ROOT)
    shown: set[str] = set()
    with counting_statements(world.store.database) as executed:
        async with closing(world.actions.watches.watch_children(CALLER, parent)) as snapshot:
            async for rows in snapshot:
                if isinstance(rows, SnapshotEnd):
                    break
                shown.update(row.key.name for row in rows)

    assert shown == {child(number) for number in range(1, CHILDREN + 1)} - {child(ONE_IS_LOST)}
    assert await world.phases(again) == {Phase.RECOVERED: CHILDREN - 1}
    assert len(executed) < CHILDREN / 50
