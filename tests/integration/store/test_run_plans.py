"""Tests that reads and lists of runs and actions use their indexes on large tables."""

from datetime import timedelta
from uuid import UUID

from controlplane.core import lists
from controlplane.core.actions import ActionType
from controlplane.core.lists import Listing
from controlplane.core.runs import RunScope
from controlplane.core.task_groups import MOST_RECENT, GroupScope
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.recoveries import find_counterparts
from controlplane.store.resources import actions, runs
from controlplane.store.resources.action_snapshots import read_changed
from controlplane.store.resources.lists import list_actions, list_runs
from controlplane.store.resources.task_groups import list_groups
from shared.model.ids import (
    ROOT,
    ActionId,
    ActionName,
    DomainName,
    ProjectName,
    RunId,
    RunName,
)
from tests.factories import NOW, make_run_key
from tests.integration.store.large import WIDE, Large, filled, large

__all__ = ["filled", "large"]


async def test_changes_after_a_cursor_are_read_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert len(await actions.list_changed(tx, WIDE, after=99_951, most=1000)) == 50

    (await large.count_pages(work)).assert_few(50 * 10)


async def test_page_of_a_snapshot_reads_pages_of_its_rows_only(large: Large) -> None:
    async def part_of_run(tx: OrgTx) -> None:
        part = await read_changed(tx, WIDE, after=50_000, most=100)
        assert (len(part), len(part.similar), part.change) == (100, 1, 50_100)

    async def page_of_children(tx: OrgTx) -> None:
        found = await actions.list_children(tx, WIDE, ROOT, after="c5", most=100)
        assert len(found) == 100

    async def no_children(tx: OrgTx) -> None:
        leaf = ActionName("c77")
        assert await actions.list_children(tx, WIDE, leaf, after="", most=100) == []

    (await large.count_pages(part_of_run)).assert_few(100 * 10)
    (await large.count_pages(page_of_children)).assert_few(100 * 10)
    (await large.count_pages(no_children)).assert_few(20)


async def test_run_and_action_are_found_by_name_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        run = await runs.find_run(tx, make_run_key("r1"))
        assert run == WIDE
        assert await runs.get_change(tx, run)
        assert await actions.find_detail(tx, run, ActionName("c99999")) is not None

    (await large.count_pages(work)).assert_few(60)


async def test_list_of_newest_runs_reads_no_child_actions(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope = RunScope(project="p", domain="development")
        page = await list_runs(tx, scope, Listing(limit=50))
        assert [row.key.run.name for row in page.rows[:2]] == ["r1", "r2"]

    (await large.count_pages(work)).assert_few(51 * 10)


async def test_reruns_of_a_run_are_found_by_index(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope = RunScope(project="p", domain="development")
        of = lists.Filter("related_to", lists.Test.EQUAL, ["r1"])
        page = await list_runs(tx, scope, Listing(limit=50, filters=[of]))
        assert [row.key.run.name for row in page.rows] == ["r900", "r1500"]

    (await large.count_pages(work)).assert_few(60)


async def test_groups_of_a_window_read_no_runs_before_it_and_no_children(large: Large) -> None:
    scope = GroupScope(
        project=ProjectName("p"),
        domain=DomainName("development"),
        start=NOW - timedelta(minutes=100),
    )

    async def work(tx: OrgTx) -> None:
        (group,) = await list_groups(tx, scope)  # all runs are of one task
        assert group.total == 100
        assert len(group.recent) == MOST_RECENT

    (await large.count_pages(work)).assert_few(100 * 10)


async def test_counterparts_of_a_batch_in_a_wide_run_are_found_by_index(large: Large) -> None:
    recovering = RunId(UUID(int=2))
    wanted = [
        (ActionId(UUID(int=n)), recovering, ActionName(f"c{n}"), ROOT, ActionType.TASK)
        for n in range(1001, 1501)
    ]

    async def work(tx: OrgTx) -> None:
        sources = [(WIDE, RunName("r1")) for _ in wanted]
        assert len(await find_counterparts(tx, wanted, sources)) == 475  # of 20, one is live

    (await large.count_pages(work)).assert_few(500 * 20)


async def test_late_page_of_runs_reads_no_earlier_page(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        scope, token = RunScope(project="p", domain="development"), ""
        for _ in range(8):
            page = await list_runs(tx, scope, Listing(limit=200, token=token))
            token = page.token
        tokens.append(token)

    async def late(tx: OrgTx) -> None:
        scope = RunScope(project="p", domain="development")
        page = await list_runs(tx, scope, Listing(limit=50, token=tokens[0]))
        assert page.rows[0].key.run.name == "r1601"

    tokens: list[str] = []
    await large.count_pages(work)
    (await large.count_pages(late)).assert_few(51 * 10)


async def test_list_of_a_small_run_reads_few_pages_beside_a_large_one(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        small = RunId(UUID(int=7))
        assert len((await list_actions(tx, small, Listing())).rows) == 21

    (await large.count_pages(work)).assert_few(21 * 12)
