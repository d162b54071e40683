"""Enqueues: actions are enqueued while rows of other runs are locked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import TextClause, text

from controlplane.core.actions import NewAction
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import BusyError
from controlplane.core.queues import Queue
from controlplane.feeds.feeds import Feeds
from controlplane.store.notify.notifications import listen
from controlplane.store.resources.queues import save_queue
from controlplane.usecases import actions as usecase
from controlplane.usecases.actions import Actions
from shared.blobs.store import open_store
from shared.kit.clock import SystemClock
from tests.factories import NOW, ORG, make_new_action, make_new_run
from tests.integration.runs import make_actions
from tests.integration.store.conftest import Store, store
from tests.running import running

__all__ = ["store"]

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))

LOCK_RA = text("SELECT 1 FROM runs WHERE run = 'ra' FOR UPDATE")
LOCK_QUEUE = text("SELECT 1 FROM queues WHERE queue = 'qa' FOR UPDATE")
# Another transaction has saved the same spec and not committed yet.
SAVE_SPEC = text(
    "INSERT INTO specs (org, digest, kind, body, created_at)"
    " VALUES (:org, :digest, 1, 'body', now())"
)


@pytest.fixture
async def actions(store: Store, database_url: str, tmp_path: Path) -> AsyncIterator[Actions]:
    await store.create(make_new_run("ra"))
    await store.create(make_new_run("rb"))
    async with store.database.for_org(ORG) as tx:
        for queue in ("qa", "qb"):
            await save_queue(tx, Queue(name=queue), NOW)
    made = make_actions(
        store.database,
        Feeds(store.database, partial(listen, database_url)),
        SystemClock(),
        open_store(f"file://{tmp_path}"),
    )
    async with running(made):
        yield made


async def enqueue_while_locked(
    store: Store,
    actions: Actions,
    lock: TextClause,
    blocked: NewAction,
    *others: NewAction,
    **values: object,
) -> None:
    """Enqueue all in one batch while another transaction has a lock that one of them needs."""
    async with asyncio.TaskGroup() as tasks:
        async with store.database.for_org(ORG) as tx:
            await tx.execute(lock, values)
            waiting = tasks.create_task(actions.enqueue(CALLER, blocked))
            await asyncio.gather(*(actions.enqueue(CALLER, each) for each in others))
            assert not waiting.done()
        await waiting


async def test_enqueue_is_answered_while_another_run_is_locked(
    store: Store, actions: Actions
) -> None:
    others = [make_new_action(f"b{number}", run="rb") for number in range(20)]
    await enqueue_while_locked(store, actions, LOCK_RA, make_new_action("a", run="ra"), *others)
    assert await store.count("dispatches") == 2 + 21


async def test_enqueue_is_answered_while_another_queue_is_locked(
    store: Store, actions: Actions
) -> None:
    blocked = replace(make_new_action("a", run="ra"), queue="qa")
    others = [
        replace(make_new_action("b", run="ra"), queue="qb"),
        replace(make_new_action("c", run="rb"), queue="qb"),
        make_new_action("d", run="rb"),
    ]
    await enqueue_while_locked(store, actions, LOCK_QUEUE, blocked, *others)
    assert await store.count("dispatches") == 2 + 4


async def test_enqueue_is_answered_while_the_spec_of_another_is_locked(
    store: Store, actions: Actions
) -> None:
    blocked = make_new_action("a", run="ra", body=b"saved by another transaction")
    await enqueue_while_locked(
        store,
        actions,
        SAVE_SPEC,
        blocked,
        make_new_action("b", run="rb"),
        digest=blocked.spec.digest,
    )
    assert await store.count("dispatches") == 2 + 2


async def test_enqueue_into_a_run_that_stays_locked_names_the_run(
    store: Store, actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usecase, "LOCK_TRIES", 2)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(LOCK_RA)
        with pytest.raises(BusyError, match="run p/development/ra or its queue is locked"):
            await actions.enqueue(CALLER, make_new_action("a", run="ra"))


async def test_enqueue_waiting_for_locked_runs_leaves_connections_free(
    store: Store, actions: Actions
) -> None:
    """With as many locked runs as the pool has connections, enqueues of other runs still succeed."""
    names = [f"l{number}" for number in range(12)]
    for name in names:
        await store.create(make_new_run(name))
    async with asyncio.TaskGroup() as tasks, store.database.for_org(ORG) as tx:
        await tx.execute(text("SELECT 1 FROM runs WHERE run LIKE 'l%' FOR UPDATE"))
        waiting = [
            tasks.create_task(actions.enqueue(CALLER, make_new_action("a", run=name)))
            for name in names
        ]
        for number in range(20):
            await actions.enqueue(CALLER, make_new_action(f"b{number}", run="rb"))
        assert not any(task.done() for task in waiting)
    assert await store.count("dispatches") == 2 + 12 + 12 + 20
