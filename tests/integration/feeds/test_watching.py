"""We test that a watcher misses nothing, whatever stalls, breaks or happens at once."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest

from controlplane.api.streams import closing
from controlplane.core.actions import ActionRow, SnapshotEnd
from controlplane.store.resources.actions import list_by_name
from controlplane.usecases.actions import Actions
from shared.model.ids import RunId
from shared.model.phases import Phase
from tests.factories import (
    NOW,
    ORG,
    make_action_key,
    make_new_action,
    make_new_run,
    make_report,
    make_run_key,
)
from tests.fakes.clock import FakeClock
from tests.integration.feeds.conftest import CALLER, CountingDatabase, World
from tests.integration.store.conftest import Store
from tests.running import until


@dataclass(slots=True)
class Watcher:
    """What somebody has been shown."""

    last: dict[str, ActionRow] = field(default_factory=dict)
    snapshot_ends: int = 0
    batches: int = 0

    async def watch(
        self,
        shown: AsyncIterator[Sequence[ActionRow] | SnapshotEnd],
        stall: random.Random | None = None,
    ) -> None:
        async for batch in shown:
            if isinstance(batch, SnapshotEnd):
                self.snapshot_ends += 1
                continue
            self.batches += 1
            for row in batch:
                known = self.last.get(row.key.name)
                assert known is None or known.change <= row.change, "went back in time"
                self.last[row.key.name] = row
            for _ in range(stall.randrange(200) if stall else 0):
                await asyncio.sleep(0)

    def phases(self) -> dict[str, Phase]:
        return {name: row.phase for name, row in self.last.items()}


@asynccontextmanager
async def watching(
    world: World, *, parent: str | None = None, stall: random.Random | None = None
) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    if parent is None:
        shown = world.actions.watch_run(CALLER, make_run_key())
    else:
        shown = world.actions.watch_children(CALLER, make_action_key(parent))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watcher.watch(shown, stall))
        yield watcher
        task.cancel()


async def everything(store: Store, run: RunId) -> dict[str, tuple[int, Phase]]:
    async with store.database.for_org(ORG) as tx:
        rows = await list_by_name(tx, run, after="", most=10_000)
    return {row.key.name: (row.change, row.phase) for row in rows}


async def write(store: Store, run: RunId, name: str, chance: random.Random) -> None:
    """Enqueue, lease, report and abort, as it comes."""
    for number in range(6):
        await store.enqueue(
            *(
                make_new_action(f"{name}{number}{letter}")
                for letter in "abc"[: chance.randint(1, 3)]
            )
        )
        for assignment in await store.claim(most=chance.randint(1, 4)):
            last = chance.choice([Phase.RUNNING, Phase.SUCCEEDED, Phase.INITIALIZING])
            if assignment.key.name == "a0":
                last = Phase.RUNNING
            await store.report(make_report(assignment, 1, last))
        if chance.random() < 0.3:
            await store.abort(run, f"{name}{chance.randrange(number + 1)}a")


@pytest.mark.parametrize("seed", range(4))
async def test_a_watcher_that_stalls_ends_where_the_table_does(world: World, seed: int) -> None:
    chance = random.Random(seed)
    run = await world.store.create(make_new_run())
    async with watching(world, stall=random.Random(seed)) as watcher:
        await asyncio.gather(
            *(write(world.store, run, name, random.Random(chance.random())) for name in "wxyz")
        )
        there = await everything(world.store, run)
        await until(lambda: _shown(watcher) == there)
    assert watcher.snapshot_ends == 1


@pytest.mark.parametrize("seed", range(2))
async def test_watchers_that_come_and_go_miss_nothing_either(world: World, seed: int) -> None:
    run = await world.store.create(make_new_run())
    chance = random.Random(seed)

    async def come_and_go() -> None:
        for _ in range(10):
            async with watching(world):
                for _ in range(chance.randrange(300)):
                    await asyncio.sleep(0)

    async with watching(world) as first:
        await asyncio.gather(write(world.store, run, "x", chance), come_and_go(), come_and_go())
        async with watching(world) as late:
            there = await everything(world.store, run)
            await until(lambda: _shown(first) == there and _shown(late) == there)
    assert world.feeds._watched == {}


def _shown(watcher: Watcher) -> dict[str, tuple[int, Phase]]:
    return {name: (row.change, row.phase) for name, row in watcher.last.items()}


async def test_a_snapshot_comes_first_then_its_end_then_changes(world: World) -> None:
    await world.store.create(make_new_run())
    await world.store.enqueue(make_new_action("b"))
    batches: list[object] = []
    shown = world.actions.watch_run(CALLER, make_run_key())
    async with asyncio.timeout(60), closing(shown):
        async for batch in shown:
            if isinstance(batch, SnapshotEnd):
                batches.append(batch)
                await world.store.enqueue(make_new_action("c"))
                continue
            batches.append([row.key.name for row in batch])
            if len(batches) == 3:
                break
    assert batches == [["a0", "b"], SnapshotEnd.TOKEN, ["c"]]


async def test_a_snapshot_of_several_pages_shows_each_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.actions.SNAPSHOT_PAGE", 3)
    await world.store.create(make_new_run())
    await world.store.enqueue(*(make_new_action(f"b{number}") for number in range(8)))
    async with watching(world) as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
    assert len(watcher.last) == 9
    assert watcher.batches == 3


async def test_what_happens_during_a_snapshot_is_shown_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.actions.SNAPSHOT_PAGE", 2)
    run = await world.store.create(make_new_run())
    await world.store.enqueue(*(make_new_action(f"c{number}") for number in range(4)))
    shown = world.actions.watch_run(CALLER, make_run_key())
    async with asyncio.timeout(60), closing(shown):
        first = await anext(shown)
        assert not isinstance(first, SnapshotEnd)
        assert [row.key.name for row in first] == ["a0", "c0"]
        await world.store.enqueue(make_new_action("b"))  # would have been on that page
        await world.store.abort(run, "c0")  # was, and has changed since
        await world.store.abort(run, "c3")  # is on a page to come
        await until(lambda: world.feeds._watched[ORG, run].cursor >= 8)
        last: dict[str, Phase] = {row.key.name: row.phase for row in first}
        while last.get("b") is not Phase.QUEUED or last["c0"] is not Phase.ABORTED:
            batch = await anext(shown)
            if not isinstance(batch, SnapshotEnd):
                last.update((row.key.name, row.phase) for row in batch)
    assert last["c3"] is Phase.ABORTED


async def test_a_commit_of_more_than_a_page_is_shown_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.feeds.feeds._PAGE", 3)
    await world.store.create(make_new_run())
    async with watching(world) as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
        await world.store.enqueue(*(make_new_action(f"b{number}") for number in range(10)))
        await until(lambda: len(watcher.last) == 11)


async def test_whoever_watches_a_parent_sees_its_children_and_nobody_else(world: World) -> None:
    run = await world.store.create(make_new_run())
    await world.store.enqueue(make_new_action("b"), make_new_action("c"))
    await world.store.enqueue(make_new_action("b1", parent="b"))
    async with watching(world, parent="b") as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
        await world.store.enqueue(
            make_new_action("b2", parent="b"), make_new_action("c1", parent="c")
        )
        await world.store.abort(run, "c")
        await world.store.abort(run, "b2")
        await until(lambda: watcher.phases().get("b2") is Phase.ABORTED)
    assert set(watcher.last) == {"b1", "b2"}


async def test_many_watchers_cost_one_read_for_a_change(world: World) -> None:
    await world.store.create(make_new_run())
    async with asyncio.TaskGroup() as tasks:
        watchers = [Watcher() for _ in range(50)]
        running = [
            tasks.create_task(each.watch(world.actions.watch_run(CALLER, make_run_key())))
            for each in watchers
        ]
        await until(lambda: all(each.snapshot_ends for each in watchers))
        await until(lambda: not world.feeds._dirty and not world.feeds._busy)
        before = world.reads.opened
        await world.store.enqueue(make_new_action("b"))
        await until(lambda: all("b" in each.last for each in watchers))
        assert world.reads.opened == before + 1
        for task in running:
            task.cancel()


async def test_a_slow_watcher_is_given_the_latest_and_no_heap(world: World) -> None:
    run = await world.store.create(make_new_run())
    await world.store.enqueue(*(make_new_action(f"b{number}") for number in range(20)))
    async with world.feeds.changes(ORG, run) as changes:
        for assignment in await world.store.claim(most=30):
            for version, phase in enumerate([Phase.INITIALIZING, Phase.RUNNING], start=1):
                await world.store.report(make_report(assignment, version, phase))
        await until(
            lambda: [row.phase for row in changes._pending.values()] == [Phase.RUNNING] * 21
        )
        taken = await changes.take()
    assert len({row.id for row in taken}) == len(taken) == 21
    assert [row.change for row in taken] == sorted(row.change for row in taken)


async def test_what_was_committed_while_nobody_listened_is_found(
    world: World, owner_database_url: str
) -> None:
    owner = await asyncpg.connect(owner_database_url)
    await world.store.create(make_new_run())
    async with watching(world) as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
        for name in ("b", "c"):
            killed = 0
            while not killed:  # once it listens, it can be killed
                killed = await owner.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE application_name = 'volary-listen' AND datname = current_database()"
                )
            await world.store.enqueue(make_new_action(name))
            await until(lambda name=name: name in watcher.last)  # type: ignore[misc]
    await owner.close()


async def test_a_notice_that_is_none_makes_us_look_and_breaks_nothing(
    world: World, owner_database_url: str
) -> None:
    owner = await asyncpg.connect(owner_database_url)
    await world.store.create(make_new_run())
    async with watching(world) as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
        for nonsense in ("", "{", "5", "[]", '{"o":5,"r":"x"}', '{"r":[1]}', '{"o":"acme","s":7}'):
            await owner.execute("SELECT pg_notify('volary', $1)", nonsense)
        await world.store.enqueue(make_new_action("b"))
        await until(lambda: "b" in watcher.last)
    await owner.close()


async def test_a_watch_of_one_action_ends_with_it(world: World) -> None:
    await world.store.create(make_new_run())
    [assignment] = await world.store.claim()
    phases: list[Phase] = []
    async with asyncio.timeout(60):
        async for detail in world.actions.watch_detail(CALLER, make_action_key()):
            phases.append(detail.row.phase)
            if detail.row.phase is Phase.QUEUED:
                await world.store.report(make_report(assignment, 1, Phase.RUNNING))
            elif phases.count(Phase.RUNNING) == 1:
                await world.store.report(make_report(assignment, 2, Phase.SUCCEEDED))
    assert phases[0] is Phase.QUEUED
    assert phases[-1] is Phase.SUCCEEDED
    assert world.feeds._watched == {}


async def test_watch_of_one_action_reads_only_its_attempts_after_a_change(world: World) -> None:
    await world.store.create(make_new_run())
    [assignment] = await world.store.claim()
    reads = CountingDatabase(world.store.database)
    actions = Actions(reads, world.feeds, FakeClock(NOW))
    async with asyncio.timeout(10):
        details = actions.watch_detail(CALLER, make_action_key())
        first = await anext(details)
        opened = reads.opened
        await world.store.report(make_report(assignment, 1, Phase.RUNNING))
        running = await anext(details)
        while running.row.phase is not Phase.RUNNING:  # the feed may offer what is known
            running = await anext(details)
        assert running.spec is first.spec
        assert [each.phase for each in running.attempts] == [Phase.RUNNING]
        assert reads.opened - opened == 1
        await details.aclose()


async def test_nothing_is_watched_once_nobody_watches(world: World) -> None:
    await world.store.create(make_new_run())
    async with watching(world) as first, watching(world) as second:
        await until(lambda: first.snapshot_ends == second.snapshot_ends == 1)
        assert len(world.feeds._watched) == 1
    assert world.feeds._watched == {}
