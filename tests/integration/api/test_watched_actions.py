"""WatchActions: its first messages, and the work that several watchers of a run cause."""

import asyncio

import pytest
from connectrpc.errors import ConnectError
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.common.run_pb2 import RelationType
from flyteidl2.workflow.run_definition_pb2 import Action, EnrichedAction
from flyteidl2.workflow.run_service_pb2 import ListActionsRequest, WatchActionsRequest

from controlplane.core.names import parse_run
from controlplane.store.resources.runs import find_run
from shared.model.ids import DomainName, ProjectName, RunId, RunKey, RunName
from shared.model.phases import Phase
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    create_run,
    enqueue,
    enqueue_condition,
    enqueue_trace,
    run_id,
)
from tests.integration.api.test_relations import FAILURE, related
from tests.integration.store.examined import counting_statements
from tests.integration.store.wide import add_children
from tests.running import until

CHILDREN = 2_500
PARTS = 3
"""Statements that read a run of so many children (``action_watches.SNAPSHOT_PART``)."""


async def read(
    api: ApiUnderTest, count: int, *filters: Filter, run: str = "r1"
) -> dict[str, EnrichedAction]:
    """Watch until as many actions were shown."""
    seen: dict[str, EnrichedAction] = {}
    request = WatchActionsRequest(run_id=run_id(run), filter=filters)
    async with asyncio.timeout(60):
        async for page in api.runs.watch_actions(request):
            seen.update((each.action.id.name, each) for each in page.enriched_actions)
            if len(seen) >= count:
                return seen
    raise AssertionError(f"the stream ended after {len(seen)} actions")


async def list_all(api: ApiUnderTest, run: str) -> dict[str, Action]:
    request = ListActionsRequest(run_id=run_id(run), request=ListRequest(limit=100))
    return {each.id.name: each for each in (await api.runs.list_actions(request)).actions}


async def find(api: ApiUnderTest, run: str = "r1") -> RunId:
    key = RunKey(ProjectName(PROJECT), DomainName(DOMAIN), RunName(parse_run(run)))
    async with api.database.for_org(ORG) as tx:
        found = await find_run(tx, key)
    assert found is not None
    return found


def snapshot_reads(statements: list[str]) -> int:
    return sum("WITH changed AS" in statement for statement in statements)


async def test_watch_actions_shows_each_action_as_lists_do(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    (root,) = await api.claim()
    await api.report(root, Phase.RUNNING)
    file = f"{api.blobs.base}/{ORG}/p/d/r1/t1/outputs.pb"
    for name in ("c1", "c2"):
        await api.actions.enqueue(enqueue(api, name))
    await api.actions.enqueue(enqueue(api, "below", parent="c1"))
    await api.actions.enqueue(enqueue_trace("t1", phase=5, output_uri=file))
    await api.actions.enqueue(enqueue_condition("k1"))
    first, *_ = await api.claim()
    await api.report(first, Phase.RUNNING, Phase.SUCCEEDED)
    await api.finish(Phase.FAILED, FAILURE)
    await api.actions.enqueue(enqueue(api, "waiting"))
    await api.report(root, Phase.FAILED, failure=FAILURE, first_version=2)
    await api.runs.create_run(related("r2", "r1", RelationType.RELATION_TYPE_RECOVER))

    for run in ("r1", "r2"):
        listed = await list_all(api, run)
        watched = await read(api, len(listed), run=run)
        assert {name: each.action for name, each in watched.items()} == listed


async def test_watchers_of_a_run_read_and_render_it_once_together(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    await add_children(api.database, await find(api), CHILDREN, ended=CHILDREN // 2)

    with counting_statements(api.database) as executed:
        opened = await asyncio.gather(*(read(api, CHILDREN + 1) for _ in range(5)))
    assert snapshot_reads(executed) == PARTS
    counts = dict(opened[-1]["a0"].children_phase_counts)
    assert counts == {
        Phase.QUEUED.value: CHILDREN // 2,
        Phase.SUCCEEDED.value: CHILDREN // 2,
    }

    with counting_statements(api.database) as executed:
        assert await read(api, CHILDREN + 1) == opened[0]
    assert snapshot_reads(executed) == 0
    await api.claim(most=10)
    await api.finish()
    with counting_statements(api.database) as executed:
        await read(api, CHILDREN + 1)
    assert snapshot_reads(executed) == 1


async def test_watcher_that_leaves_early_leaves_less_to_read(
    api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.action_watches.SNAPSHOT_PART", 10)
    await api.runs.create_run(create_run())
    await add_children(api.database, await find(api), CHILDREN)
    parts = CHILDREN // 10 + 1

    async def leave() -> None:
        with pytest.raises(ConnectError, match="cancelled"):
            await read(api, CHILDREN + 1)

    with counting_statements(api.database) as executed:
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(leave())
            await until(lambda: snapshot_reads(executed) >= parts // 4)
            leaving.cancel()
        await read(api, CHILDREN + 1)
    assert parts <= snapshot_reads(executed) <= parts + 1  # one was read in vain


async def test_filters_of_watchers_of_one_run_are_their_own(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    await add_children(api.database, await find(api), 20, ended=5)
    ended = Filter(function=Filter.VALUE_IN, field="PHASE", values=[str(Phase.SUCCEEDED.value)])

    everything, matching = await asyncio.gather(read(api, 21), read(api, 6, ended))

    assert all(each.meets_filter for each in everything.values())
    assert not matching.pop("a0").meets_filter
    assert {each.action.status.phase for each in matching.values()} == {Phase.SUCCEEDED.value}
    assert dict(everything["a0"].children_phase_counts) == {1: 15, 5: 5}
