"""Tests of cascades: wide runs end in pages, nothing starts meanwhile, no live action remains."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta

import pytest
from sqlalchemy import text

from controlplane.loops.cascades import Cascades
from controlplane.store.dispatch import dispatches
from controlplane.store.dispatch.admit import Enqueued
from controlplane.store.dispatch.cascades import EXAMINED, PAGE, end_page
from controlplane.store.dispatch.timeouts import time_out
from controlplane.store.notify.changes import Notification
from controlplane.store.resources.actions import list_changed
from controlplane.store.resources.runs import get_change
from shared.model.ids import RunId
from shared.model.phases import Phase
from shared.model.reports import AckStatus
from tests.factories import NOW, ORG, make_failure, make_new_action, make_new_run, make_report
from tests.fakes.clock import FakeClock
from tests.integration.store.conftest import CLUSTER, Store
from tests.integration.store.wide import add_children

WIDE = 2 * PAGE + 500


def make_loop(store: Store) -> Cascades:
    return Cascades(
        store.database, lambda _: nullcontext(), FakeClock(NOW), every=timedelta(seconds=5)
    )


async def count_phases(store: Store, run: RunId) -> dict[Phase, int]:
    async with store.database.for_org(ORG) as tx:
        rows = await tx.rows(
            text(
                "SELECT phase, count(*) AS n FROM actions WHERE org = :org AND run_id = :run"
                " GROUP BY phase"
            ),
            {"run": run},
        )
    return {Phase(row.phase): row.n for row in rows}


async def test_abort_of_a_wide_run_commits_at_once_and_the_loop_ends_the_rest(
    store: Store,
) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, WIDE)
    assert await store.abort(run) == 1
    assert await count_phases(store, run) == {Phase.ABORTED: 1, Phase.QUEUED: WIDE}

    assert await make_loop(store).run_once() == WIDE
    assert await count_phases(store, run) == {Phase.ABORTED: WIDE + 1}
    row = (await store.detail(run, "a0-w000001")).row
    assert (row.abort_reason, row.aborted_by) == ("enough", "someone")
    assert await store.count("dispatches") == 0
    assert await store.count("cascades") == 0


@pytest.mark.parametrize("children", [1, PAGE])
async def test_cascade_that_fits_a_page_ends_with_its_parent(store: Store, children: int) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, children)
    assert await store.abort(run) == children + 1
    assert await store.count("cascades") == 0


async def test_cascade_over_ended_children_leaves_no_marker(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, EXAMINED - 2 * PAGE, ended=EXAMINED - 2 * PAGE)
    assert await store.abort(run) == 1
    assert await store.count("cascades") == 0


async def test_cascade_finds_live_children_behind_many_ended_ones(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, EXAMINED + PAGE, ended=EXAMINED + PAGE - 3)
    assert await store.abort(run) == 1
    assert await make_loop(store).run_once() == 3
    assert await store.count("dispatches") == 0
    assert await store.count("cascades") == 0


async def test_cascade_ends_a_tree_that_is_wide_on_every_level(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, PAGE)
    for parent in ("a0-w000001", "a0-w000500"):
        await add_children(store.database, run, PAGE + 1, parent=parent)
    await add_children(store.database, run, 7, parent="a0-w000001-w000007")
    live = 1 + PAGE + 2 * (PAGE + 1) + 7
    assert await store.abort(run) == 1
    assert await make_loop(store).run_once() == live - 1
    assert await count_phases(store, run) == {Phase.ABORTED: live}
    assert await store.count("cascades") == 0


async def test_cascade_marker_blocks_claims_and_enqueues_before_the_loop_runs(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, WIDE)
    await store.abort(run)
    assert await store.claim() == []
    below = make_new_action("late", parent="a0-w000001")
    assert await store.enqueue(below) == [Enqueued.PARENT_ENDED]


async def test_lease_claimed_before_an_abort_is_not_confirmed_after_it(
    store: Store,
) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, WIDE)
    leased = await store.claim(5)
    await store.abort(run)
    async with store.database.for_org(ORG) as tx:
        answer = await dispatches.accept(
            tx, CLUSTER, [(each.attempt, each.lease) for each in leased], NOW
        )
    assert list(answer.confirmed) == []
    assert {each.stop_reason for each in answer.stops} == {"enough"}


async def test_cascade_ends_descendants_of_its_marker_only(
    store: Store,
) -> None:
    run = await store.create(make_new_run())
    await store.enqueue(make_new_action("b"), make_new_action("c"))
    await add_children(store.database, run, WIDE, parent="b")
    leased = [each for each in await store.claim(3) if each.key.name in {"a0", "c"}]
    await store.abort(run, "b")
    async with store.database.for_org(ORG) as tx:
        answer = await dispatches.accept(
            tx, CLUSTER, [(each.attempt, each.lease) for each in leased], NOW
        )
    assert len(answer.confirmed) == len(leased)
    beside = make_new_action("d", parent="c")
    assert await store.enqueue(beside) == [Enqueued.CREATED]
    assert await store.claim() == []  # the run waits until its cascade is over

    await make_loop(store).run_once()
    assert {each.key.name for each in await store.claim(10)} >= {"d"}
    assert (await count_phases(store, run))[Phase.ABORTED] == WIDE + 1


async def test_claim_leases_other_runs_during_a_cascade(store: Store) -> None:
    wide = await store.create(make_new_run())
    await add_children(store.database, wide, WIDE)
    await store.abort(wide)
    await store.create(make_new_run("other"))
    assert [each.key.run.name for each in await store.claim()] == ["other"]


async def test_report_of_failure_of_a_wide_parent_commits_at_once(store: Store) -> None:
    run = await store.create(make_new_run())
    [root] = await store.claim()
    await add_children(store.database, run, WIDE)
    failed = make_report(root, 1, Phase.FAILED, failure=make_failure())
    assert await store.report(failed) == [AckStatus.APPLIED]
    assert await store.phase(run) is Phase.FAILED
    assert await store.claim() == []
    assert await make_loop(store).run_once() == WIDE
    assert (await store.detail(run, "a0-w000001")).row.abort_reason == "its parent action ended"


async def test_deadline_of_a_wide_parent_ends_its_children_by_the_loop(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, WIDE)
    async with store.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE actions SET due_at = :now WHERE parent IS NULL"), {"now": NOW}
        )
        root = (await tx.rows(text("SELECT id FROM actions WHERE parent IS NULL")))[0].id
        assert await time_out(tx, [(root, run)], NOW) == 1
    assert await make_loop(store).run_once() == WIDE
    assert await count_phases(store, run) == {Phase.TIMED_OUT: 1, Phase.ABORTED: WIDE}


async def test_watch_shows_the_pages_of_a_cascade_in_order(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, WIDE)
    async with store.database.for_org(ORG) as tx:
        cursor = await get_change(tx, run)
    await store.abort(run)
    seen: list[str] = []
    while True:
        async with store.database.for_org(ORG) as tx:
            rows = await list_changed(tx, run, after=cursor, most=5000)
        changes = [row.change for row in rows]
        assert changes == list(range(cursor + 1, cursor + 1 + len(rows)))
        cursor += len(rows)
        seen += [row.key.name for row in rows]
        async with store.database.for_org(ORG) as tx:
            page = await end_page(tx, run, NOW)
        if page is None:
            break
        assert page <= PAGE
    assert seen[0] == "a0"
    assert len(seen) == len(set(seen)) == WIDE + 1


async def test_cascade_on_three_replicas_ends_each_action_once(store: Store) -> None:
    runs: list[RunId] = []
    for name in ("r1", "r2"):
        runs.append(await store.create(make_new_run(name)))
        await add_children(store.database, runs[-1], WIDE)
        await store.abort(runs[-1])
    ended: Sequence[int] = await asyncio.gather(*(make_loop(store).run_once() for _ in range(3)))
    await make_loop(store).run_once()  # a replica skips runs that another has locked
    assert sum(ended) == 2 * WIDE
    for run in runs:
        assert await count_phases(store, run) == {Phase.ABORTED: WIDE + 1}


async def test_cascade_marker_is_notified_to_every_replica(store: Store) -> None:
    run = await store.create(make_new_run())
    await add_children(store.database, run, WIDE)
    async with store.listening() as received:
        await store.abort(run)
        notifications: list[Notification] = [await received.get()]
    assert notifications[0].cascades


async def test_report_of_a_parent_does_not_wait_for_a_lock_on_its_child(store: Store) -> None:
    """The transaction holds locks already: waiting for another one might deadlock."""
    run = await store.create(make_new_run())
    [root] = await store.claim()
    await add_children(store.database, run, 2)
    lock = text("SELECT 1 FROM dispatches WHERE org = :org AND action_id <> :root FOR UPDATE")
    async with store.database.for_org(ORG) as tx:
        await tx.execute(lock, {"root": root.attempt.action})
        async with asyncio.timeout(60):  # a lock that is waited for is an error long before
            assert await store.report(make_report(root, 1, Phase.SUCCEEDED)) == [AckStatus.APPLIED]
    assert await store.phase(run) is Phase.SUCCEEDED
    assert await make_loop(store).run_once() == 2
