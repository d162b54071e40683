"""Watches: no change is missed despite stalls, failures and concurrency."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from controlplane.api.streams import closing
from controlplane.core.actions import ActionRow, SnapshotEnd, SnapshotPart
from controlplane.store.resources.actions import list_changed
from shared.blobs.store import open_store
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
from tests.integration.runs import make_actions
from tests.integration.store.conftest import Store
from tests.running import until


@dataclass(slots=True)
class Watcher:
    """Changes and phases that a watcher has received."""

    last: dict[str, tuple[int, Phase]] = field(default_factory=dict)
    snapshot_ends: int = 0
    batches: int = 0

    async def watch(
        self,
        shown: AsyncIterator[SnapshotPart | SnapshotEnd | Sequence[ActionRow]],
        stall: random.Random | None = None,
    ) -> None:
        async for batch in shown:
            if isinstance(batch, SnapshotEnd):
                self.snapshot_ends += 1
                continue
            self.batches += 1
            for name, change, phase in states(batch):
                known = self.last.get(name)
                assert known is None or known[0] <= change, "went back in time"
                self.last[name] = (change, phase)
            for _ in range(stall.randrange(200) if stall else 0):
                await asyncio.sleep(0)

    def phases(self) -> dict[str, Phase]:
        return {name: phase for name, (_, phase) in self.last.items()}


def states(batch: SnapshotPart | Sequence[ActionRow]) -> list[tuple[str, int, Phase]]:
    """Return the names of the actions in a batch, with their changes and phases."""
    if isinstance(batch, SnapshotPart):
        return [
            state
            for similar in batch.similar
            for state in zip(similar.names, similar.changes, similar.phases, strict=True)
        ]
    return [(row.key.name, row.change, row.phase) for row in batch]


async def watch_run(
    world: World, *, after: int = 0
) -> AsyncIterator[SnapshotPart | SnapshotEnd | Sequence[ActionRow]]:
    run = await world.actions.watches.find(CALLER, make_run_key())
    async with closing(world.actions.watches.watch_run(CALLER, run, after=after)) as shown:
        async for batch in shown:
            yield batch


@asynccontextmanager
async def watching(
    world: World, *, parent: str | None = None, stall: random.Random | None = None
) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    if parent is None:
        shown = watch_run(world)
    else:
        shown = world.actions.watches.watch_children(CALLER, make_action_key(parent))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watcher.watch(shown, stall))
        yield watcher
        task.cancel()


async def everything(store: Store, run: RunId) -> dict[str, tuple[int, Phase]]:
    async with store.database.for_org(ORG) as tx:
        rows = await list_changed(tx, run, after=0, most=10_000)
    return {row.key.name: (row.change, row.phase) for row in rows}


async def write(store: Store, run: RunId, name: str, chance: random.Random) -> None:
    """Enqueue, lease, report and abort at random."""
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
async def test_watch_that_stalls_ends_in_the_state_of_the_table(world: World, seed: int) -> None:
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
async def test_watch_misses_nothing_when_watchers_come_and_go(world: World, seed: int) -> None:
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
    return watcher.last


async def test_watch_yields_snapshot_then_its_end_then_changes(world: World) -> None:
    await world.store.create(make_new_run())
    await world.store.enqueue(make_new_action("b"))
    batches: list[object] = []
    shown = watch_run(world)
    async with asyncio.timeout(60), closing(shown):
        async for batch in shown:
            if isinstance(batch, SnapshotEnd):
                batches.append(batch)
                await world.store.enqueue(make_new_action("c"))
                continue
            batches.append(sorted(name for name, _, _ in states(batch)))
            if len(batches) == 3:
                break
    assert batches == [["a0", "b"], SnapshotEnd.TOKEN, ["c"]]


async def test_watch_snapshot_of_several_pages_shows_each_action_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.action_watches.SNAPSHOT_PART", 3)
    await world.store.create(make_new_run())
    await world.store.enqueue(*(make_new_action(f"b{number}") for number in range(8)))
    async with watching(world) as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
    assert len(watcher.last) == 9
    assert watcher.batches == 3


async def test_watch_after_a_change_reads_only_what_changed_since(world: World) -> None:
    await world.store.create(make_new_run())
    await world.store.enqueue(*(make_new_action(f"b{number}") for number in range(3)))
    shown = watch_run(world, after=3)
    async with asyncio.timeout(60), closing(shown):
        first = await anext(shown)
        assert not isinstance(first, SnapshotEnd)
        assert [change for _, change, _ in states(first)] == [4]
        assert await anext(shown) is SnapshotEnd.TOKEN


async def test_watch_snapshot_includes_changes_made_while_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.action_watches.SNAPSHOT_PART", 2)
    run = await world.store.create(make_new_run())
    await world.store.enqueue(*(make_new_action(f"c{number}") for number in range(4)))
    shown = watch_run(world)
    async with asyncio.timeout(60), closing(shown):
        first = await anext(shown)
        assert not isinstance(first, SnapshotEnd)
        assert sorted(name for name, _, _ in states(first)) == ["a0", "c0"]
        await world.store.enqueue(make_new_action("b"))
        await world.store.abort(run, "c0")  # was, and has changed since
        await world.store.abort(run, "c3")  # is in a part to come
        await until(lambda: world.feeds._watched[ORG, run].cursor >= 8)
        last = {name: phase for name, _, phase in states(first)}
        while not isinstance(batch := await anext(shown), SnapshotEnd):
            last.update((name, phase) for name, _, phase in states(batch))
    assert last["b"] is Phase.QUEUED
    assert last["c0"] is last["c3"] is Phase.ABORTED


async def test_watch_shows_a_commit_larger_than_a_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.feeds.feeds._PAGE", 3)
    await world.store.create(make_new_run())
    async with watching(world) as watcher:
        await until(lambda: watcher.snapshot_ends == 1)
        await world.store.enqueue(*(make_new_action(f"b{number}") for number in range(10)))
        await until(lambda: len(watcher.last) == 11)


async def test_watch_of_a_parent_shows_only_its_children(world: World) -> None:
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


async def test_watchers_of_one_run_share_one_read_per_change(world: World) -> None:
    await world.store.create(make_new_run())
    async with asyncio.TaskGroup() as tasks:
        watchers = [Watcher() for _ in range(50)]
        running = [tasks.create_task(each.watch(watch_run(world))) for each in watchers]
        await until(lambda: all(each.snapshot_ends for each in watchers))
        await until(lambda: not world.feeds._dirty and not world.feeds._busy)
        before = world.reads.opened
        await world.store.enqueue(make_new_action("b"))
        await until(lambda: all("b" in each.last for each in watchers))
        assert world.reads.opened == before + 1
        for task in running:
            task.cancel()


async def test_watch_that_is_slow_gets_only_the_latest_rows(world: World) -> None:
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


async def test_watch_finds_commits_made_while_the_listener_was_down(
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
                    " WHERE application_name LIKE 'volary-listen%' AND datname = current_database()"
                )
            await world.store.enqueue(make_new_action(name))
            await until(lambda name=name: name in watcher.last)  # type: ignore[misc]
    await owner.close()


async def test_malformed_notification_triggers_a_read_and_breaks_no_watch(
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


async def test_watch_of_one_action_ends_with_it(world: World) -> None:
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


async def test_watch_of_one_action_reads_only_its_attempts_after_a_change(
    world: World, tmp_path: Path
) -> None:
    await world.store.create(make_new_run())
    [assignment] = await world.store.claim()
    reads = CountingDatabase(world.store.database)
    blobs = open_store(f"file://{tmp_path}")
    actions = make_actions(reads, world.feeds, FakeClock(NOW), blobs)
    async with asyncio.timeout(60):
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


async def test_feed_forgets_a_run_after_its_last_watcher(world: World) -> None:
    await world.store.create(make_new_run())
    async with watching(world) as first, watching(world) as second:
        await until(lambda: first.snapshot_ends == second.snapshot_ends == 1)
        assert len(world.feeds._watched) == 1
    assert world.feeds._watched == {}
