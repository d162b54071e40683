"""Feeds: notifications of changed runs, of work and of stops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text

from controlplane.core.actions import ActionRow
from controlplane.core.runs import RunScope
from controlplane.store.notify.changes import CHANNEL
from controlplane.store.resources.clusters import save_cluster
from shared.kit.wakeup import Wakeup
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_action, make_new_run, make_report
from tests.integration.feeds.conftest import CALLER, World
from tests.integration.store.conftest import CLUSTER
from tests.running import until

ELSEWHERE = ClusterName("c2")


class CountingWakeup(Wakeup):
    """A wakeup that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def wake(self) -> None:
        self.count += 1
        super().wake()


@asynccontextmanager
async def watching_runs(
    world: World,
    scope: RunScope = RunScope(),  # noqa: B008  # frozen
) -> AsyncIterator[list[dict[str, Phase]]]:
    batches: list[dict[str, Phase]] = []

    async def watch() -> None:
        async for rows in world.runs.watch_many(CALLER, scope):
            batches.append(phases(rows))  # noqa: PERF401  # as they come, not when all came

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch())
        await until(lambda: bool(batches))
        yield batches
        task.cancel()


def phases(rows: Sequence[ActionRow]) -> dict[str, Phase]:
    return {row.key.run.name: row.phase for row in rows}


def seen(batches: list[dict[str, Phase]]) -> dict[str, Phase]:
    last: dict[str, Phase] = {}
    for batch in batches:
        last |= batch
    return last


async def test_runs_watch_shows_new_and_changed_runs(world: World) -> None:
    await world.store.create(make_new_run("r1"))
    async with watching_runs(world) as batches:
        assert batches == [{"r1": Phase.QUEUED}]
        second = await world.store.create(make_new_run("r2"))
        await until(lambda: "r2" in seen(batches))
        await world.store.abort(second)
        await until(lambda: seen(batches)["r2"] is Phase.ABORTED)
    assert all(world.feeds._orgs.values()) is False


async def test_runs_watch_ignores_changes_of_descendants(world: World) -> None:
    await world.store.create(make_new_run("r1"))
    async with watching_runs(world) as batches:
        await world.store.enqueue(make_new_action("b"), make_new_action("c"))
        await world.store.enqueue(make_new_action("d"))
        await world.store.create(make_new_run("r2"))
        await until(lambda: "r2" in seen(batches))
    assert [batch for batch in batches if "r1" in batch] == [{"r1": Phase.QUEUED}]


async def test_runs_watch_shows_only_runs_of_its_scope(world: World) -> None:
    async with watching_runs(world, RunScope(project="other")) as nothing:
        async with watching_runs(world) as everything:
            await world.store.create(make_new_run("r1"))
            await until(lambda: "r1" in seen(everything))
        assert seen(nothing) == {}


async def test_runs_watch_lists_again_after_an_overflow_notification(world: World) -> None:
    await world.store.create(make_new_run("r1"))
    async with watching_runs(world) as batches:
        shown = len(batches)
        async with world.store.database.for_org(ORG) as tx:
            payload = f'{{"o":"{ORG}","r":"*"}}'
            await tx.execute(
                text("SELECT pg_notify(:channel, :payload)"),
                {"channel": CHANNEL, "payload": payload},
            )
        await until(lambda: len(batches) > shown)
        assert batches[-1] == {"r1": Phase.QUEUED}


async def test_runs_watch_is_notified_when_too_many_runs_change(world: World) -> None:
    """A payload holds some two hundred runs; one commit may change more."""
    names = [f"r{number}" for number in range(300)]
    for name in names:
        await world.store.create(make_new_run(name))
    async with watching_runs(world) as batches:
        await world.store.enqueue(*(make_new_action("b", run=name) for name in names))
        await until(lambda: len(batches) > 1)


async def test_work_wakes_every_cluster_of_the_org_and_a_stop_only_its_own(world: World) -> None:
    async with world.store.database.for_org(ORG) as tx:
        await save_cluster(tx, ELSEWHERE, b"another digest", NOW)
    here, there = CountingWakeup(), CountingWakeup()
    with world.feeds.work(ORG, CLUSTER, here), world.feeds.work(ORG, ELSEWHERE, there):
        run = await world.store.create(make_new_run())
        await until(lambda: here.count > 0 and there.count > 0)

        await world.store.claim(cluster=CLUSTER)
        before = (here.count, there.count)
        await world.store.abort(run)
        await until(lambda: here.count > before[0])
        assert there.count == before[1]
    assert not any(world.feeds._work.values())
    assert not any(world.feeds._stops.values())


async def test_retry_wakes_the_waiters_for_work(world: World) -> None:
    await world.store.create(make_new_run(retries=1))
    [assignment] = await world.store.claim()
    wakeup = CountingWakeup()
    with world.feeds.work(ORG, CLUSTER, wakeup):
        await world.store.report(make_report(assignment, 1, Phase.FAILED))
        await until(lambda: wakeup.count > 0)
