"""Fixtures: a migrated database with an org, a project and a cluster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from sqlalchemy import text

from controlplane.core.actions import ActionDetail, NewAction
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.runs import NewRun
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.admit import Answer, Enqueue
from controlplane.store.dispatch.claim import claim
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.notify.changes import Notification
from controlplane.store.notify.notifications import listen
from controlplane.store.resources import actions, runs
from controlplane.store.resources.clusters import save_cluster, save_org
from shared.kit.uuids import new_uuid
from shared.model.assignments import Assignment
from shared.model.ids import ActionId, ActionName, ClusterName, RunId
from shared.model.phases import Phase
from shared.model.reports import AckStatus, Report
from tests.factories import NOW, ORG

CLUSTER = ClusterName("c1")

_WAITING = text(
    "SELECT count(*) AS n FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE a.datname = current_database() AND NOT l.granted"
)


@dataclass(frozen=True, slots=True)
class Store:
    """The store for tests: each method is one transaction."""

    database: Database
    url: str = field(repr=False)

    async def create(self, new: NewRun) -> RunId:
        async with self.database.for_org(ORG) as tx:
            created, run = await runs.create_run(
                tx, RunId(new_uuid(NOW)), new, by="someone", now=NOW
            )
        assert created is runs.Created.CREATED
        return run

    async def enqueue(self, *new: NewAction) -> list[Answer]:
        async with self.database.for_org(ORG) as tx:
            requests = [Enqueue(ActionId(new_uuid(NOW)), action) for action in new]
            return list(await enqueue(tx, requests, NOW))

    async def claim(
        self,
        most: int = 10,
        cluster: ClusterName = CLUSTER,
        *,
        pool: str = "",
        scheduler: FairScheduler | None = None,
        now: datetime = NOW,
    ) -> list[Assignment]:
        async with self.database.for_org(ORG) as tx:
            found = await claim(
                tx, cluster, pool, scheduler=scheduler or FairScheduler(), most=most, now=now
            )
            return list(found.assignments)

    async def abort(self, run: RunId, name: str = "a0") -> int:
        """Abort an action and its descendants; return how many were live."""
        async with self.database.for_org(ORG) as tx:
            return await abort(tx, run, ActionName(name), reason="enough", by="someone", now=NOW)

    async def phase(self, run: RunId, name: str = "a0") -> Phase:
        return (await self.detail(run, name)).row.phase

    async def until_a_lock_is_waited_for(self) -> None:
        """Return once a transaction of this database waits for another."""
        async with asyncio.timeout(60):
            while True:
                async with self.database.for_org(ORG) as tx:
                    waiting = await tx.rows(_WAITING)
                if waiting[0].n:
                    return

    async def report(self, *reports: Report, cluster: ClusterName = CLUSTER) -> list[AckStatus]:
        async with self.database.for_org(ORG) as tx:
            answers = await apply_reports(tx, cluster, reports, NOW)
        order = {(report.attempt, report.version): at for at, report in enumerate(reports)}
        answers = sorted(answers, key=lambda each: order[each.attempt, each.version])
        return [each.status for each in answers]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["asyncio.Queue[Notification]"]:
        """Collect every notification from here on."""
        received: asyncio.Queue[Notification] = asyncio.Queue()
        ready = asyncio.Event()

        async def listen_on() -> None:
            async for notification in listen(self.url):
                ready.set()
                if notification is not None:
                    received.put_nowait(notification)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            listener = tasks.create_task(listen_on())
            await ready.wait()
            yield received
            listener.cancel()

    async def detail(self, run: RunId, name: str = "a0") -> ActionDetail:
        async with self.database.for_org(ORG) as tx:
            found = await actions.find_detail(tx, run, ActionName(name))
        assert found is not None
        return found

    async def count(self, table: str) -> int:
        async with self.database.for_org(ORG) as tx:
            rows = await tx.connection.execute(text(f"SELECT count(*) AS n FROM {table}"))  # noqa: S608
            return int(rows.one().n)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    database = open_database(database_url)
    async with database.for_org(ORG) as tx:
        await save_org(tx, NOW)
        await save_cluster(tx, CLUSTER, b"digest", NOW)
        await tx.connection.execute(
            text(
                "INSERT INTO projects (org, project, created_at, updated_at)"
                " VALUES (:org, 'p', now(), now())"
            ),
            {"org": ORG},
        )
    yield Store(database, database_url)
    await database.close()
