"""Subscriptions: latest row per action, in order, in bounded memory."""

import asyncio
from uuid import UUID, uuid4

from hypothesis import given, strategies as st

from controlplane.core.actions import ActionRow, ActionType, RunSource, TaskInfo
from controlplane.feeds.subscriptions import ChangeSubscription, RunsSubscription
from shared.model.ids import ActionId, ActionName, RunId
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_action_key


def make_row(number: int, change: int, *, parent: str = "a0") -> ActionRow:
    return ActionRow(
        org=ORG,
        id=ActionId(UUID(int=number)),
        run_id=RunId(UUID(int=0)),
        key=make_action_key(f"c{number}"),
        parent=ActionName(parent),
        type=ActionType.TASK,
        info=TaskInfo(),
        group="",
        phase=Phase.QUEUED,
        attempts=1,
        created_at=NOW,
        started_at=None,
        ended_at=None,
        updated_at=NOW,
        created_by="",
        output_uri="",
        output_prefix="",
        report_uri="",
        failure=None,
        abort_reason="",
        aborted_by="",
        value=b"",
        condition_type=b"",
        signalled_by="",
        source=RunSource.UNSPECIFIED,
        labels={},
        relation=None,
        recovered_from=None,
        change=change,
    )


changes = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 50)), min_size=1)


@given(changes)
async def test_change_subscription_yields_latest_row_per_action_in_order(
    offered: list[tuple[int, int]],
) -> None:
    subscription = ChangeSubscription()
    for number, change in offered:
        subscription.offer(make_row(number, change))
    taken = await subscription.take()
    latest: dict[int, int] = {}
    for number, change in offered:
        latest[number] = max(latest.get(number, 0), change)
    assert {row.id.int: row.change for row in taken} == latest
    assert [row.change for row in taken] == sorted(row.change for row in taken)


async def test_change_subscription_filters_by_parent_or_name() -> None:
    of_parent = ChangeSubscription(parent=ActionName("b"))
    of_name = ChangeSubscription(name=ActionName("c2"))
    for subscription in (of_parent, of_name):
        subscription.offer(make_row(1, 1, parent="b"))
        subscription.offer(make_row(2, 2, parent="a0"))
    assert [row.key.name for row in await of_parent.take()] == ["c1"]
    assert [row.key.name for row in await of_name.take()] == ["c2"]


async def test_change_subscription_loses_nothing_when_take_is_cancelled() -> None:
    subscription = ChangeSubscription()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(subscription.take())
        await asyncio.sleep(0)
        subscription.offer(make_row(1, 1))
        waiting.cancel()
    async with asyncio.timeout(60):
        assert len(await subscription.take()) == 1


async def test_runs_subscription_names_each_run_once() -> None:
    subscription = RunsSubscription()
    run = RunId(uuid4())
    subscription.offer(run)
    subscription.offer(run)
    assert await subscription.take() == [run]


async def test_runs_subscription_overflow_asks_to_list_again() -> None:
    subscription = RunsSubscription()
    for _ in range(RunsSubscription.MAX_PENDING + 1):
        subscription.offer(RunId(uuid4()))
    subscription.offer(RunId(uuid4()))
    assert len(subscription._pending) <= RunsSubscription.MAX_PENDING
    assert await subscription.take() is None
    run = RunId(uuid4())
    subscription.offer(run)
    assert await subscription.take() == [run]
