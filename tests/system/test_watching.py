"""Watch streams send the current state, then changes, and always the terminal state."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from flyteidl2.actions.actions_service_pb2 import EnqueueRequest, WatchForUpdatesRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import (
    AbortRunRequest,
    WatchActionDetailsRequest,
    WatchActionsRequest,
    WatchRunDetailsRequest,
    WatchRunsRequest,
)

from tests.system.api_client import PROJECT_ID, TERMINAL, ApiClient
from tests.system.enqueues import enqueue, make_action, running_parent, sleep_spec

SUCCEEDED = ActionPhase.ACTION_PHASE_SUCCEEDED
WITHIN = {"timeout_ms": 30_000}


async def test_watch_for_updates_sends_state_sentinel_then_changes(api: ApiClient) -> None:
    async with running_parent(api) as parent:
        before = await enqueue(api, await make_action(api, parent, "before", sleep_spec()))
        await api.ended(before)

        seen: list[tuple[str, int] | str] = []
        async for answer in api.actions.watch_for_updates(
            WatchForUpdatesRequest(parent_action_id=parent), **WITHIN
        ):
            if answer.control_message.sentinel:
                seen.append("sentinel")
                await enqueue(api, await make_action(api, parent, "after", sleep_spec()))
                continue
            update = answer.action_update
            seen.append((update.action_id.name, update.phase))
            if seen[-1] == ("after", SUCCEEDED):
                break

    assert seen[:2] == [("before", SUCCEEDED), "sentinel"]
    assert seen.count("sentinel") == 1
    assert {one[0] for one in seen[2:]} == {"after"}


async def test_watch_for_updates_without_children_sends_sentinel_at_once(api: ApiClient) -> None:
    async with running_parent(api) as parent:
        first = await anext(
            api.actions.watch_for_updates(WatchForUpdatesRequest(parent_action_id=parent), **WITHIN)
        )

    assert first.control_message.sentinel


async def test_watch_for_updates_excludes_grandchildren(api: ApiClient) -> None:
    details = await api.finish("nested.main")

    names = set()
    async for answer in api.actions.watch_for_updates(
        WatchForUpdatesRequest(parent_action_id=details.id), **WITHIN
    ):
        if answer.control_message.sentinel:
            break
        names.add(answer.action_update.action_id.name)

    parents = {child.id.name: child.metadata.parent for child in await api.children(details.id)}
    assert names == {name for name, parent in parents.items() if parent == "a0"}


async def test_watch_action_ends_with_the_action(api: ApiClient) -> None:
    root = await api.start("hello.main")

    phases = [
        answer.details.status.phase
        async for answer in api.runs.watch_action_details(
            WatchActionDetailsRequest(action_id=root), **WITHIN
        )
    ]

    assert phases[-1] == SUCCEEDED
    assert [phase for phase in phases if phase in TERMINAL] == [SUCCEEDED]
    assert phases == sorted(phases)


async def test_watch_of_ended_action_sends_it_once_and_ends(api: ApiClient) -> None:
    details = await api.finish("hello.main")

    answers = [
        answer.details
        async for answer in api.runs.watch_action_details(
            WatchActionDetailsRequest(action_id=details.id), **WITHIN
        )
    ]

    assert answers == [details]


async def test_watch_run_shows_its_end(api: ApiClient) -> None:
    root = await api.start("hello.main")

    async for answer in api.runs.watch_run_details(
        WatchRunDetailsRequest(run_id=root.run), **WITHIN
    ):
        if answer.details.action.status.phase == SUCCEEDED:
            return
    raise AssertionError("the watch ended before the run")


async def test_watch_actions_counts_children_by_phase(api: ApiClient) -> None:
    async with running_parent(api) as parent:
        for number in range(3):
            await enqueue(api, await make_action(api, parent, f"c{number}", sleep_spec()))

        async for answer in api.runs.watch_actions(
            WatchActionsRequest(run_id=parent.run), **WITHIN
        ):
            counts = {
                one.action.id.name: dict(one.children_phase_counts)
                for one in answer.enriched_actions
            }
            if counts.get("a0") == {SUCCEEDED: 3}:
                return
    raise AssertionError("the watch ended before the count was three")


async def test_watch_runs_shows_new_runs(api: ApiClient) -> None:
    watch = api.runs.watch_runs(WatchRunsRequest(project_id=PROJECT_ID), **WITHIN)
    async with aclosing(watch):
        await anext(watch)  # what was there already
        root = await api.start("hello.main")

        async for answer in watch:
            for run in answer.runs:
                if run.action.id.run.name == root.run.name and run.action.status.phase == SUCCEEDED:
                    return
    raise AssertionError("the watch ended before the run")


async def test_watch_slow_reader_misses_no_end(api: ApiClient) -> None:
    """The backlog while the client does not read exceeds every buffer on the way."""
    count = 1500
    async with running_parent(api) as parent:
        slow = api.actions.watch_for_updates(
            WatchForUpdatesRequest(parent_action_id=parent), timeout_ms=120_000
        )
        async with aclosing(slow):
            assert (await anext(slow)).control_message.sentinel
            template = await make_action(api, parent, "template", sleep_spec())
            await _enqueue_many(api, template, count)

            assert await _ends(slow, count) == Counter({SUCCEEDED: count})
        await api.runs.abort_run(AbortRunRequest(run_id=parent.run))


async def _enqueue_many(api: ApiClient, template: Any, count: int) -> None:
    """Enqueue so many, and return when all have ended."""
    slots = asyncio.Semaphore(50)

    async def one(number: int) -> None:
        action = type(template)()
        action.CopyFrom(template)
        action.action_id.name = f"c{number}"
        async with slots:
            await api.actions.enqueue(EnqueueRequest(action=action))

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
    async for answer in api.runs.watch_actions(
        WatchActionsRequest(run_id=template.action_id.run), timeout_ms=120_000
    ):
        for enriched in answer.enriched_actions:
            if enriched.action.id.name == "a0":
                counts = dict(enriched.children_phase_counts)
                if counts.get(SUCCEEDED) == count:
                    return
    raise AssertionError("the watch ended first")


async def _ends(watch: AsyncIterator[Any], count: int) -> Counter[int]:
    """Read until every child has ended; count the phases in which they did."""
    ends: dict[str, int] = {}
    async for answer in watch:
        update = answer.action_update
        if update.phase in TERMINAL:
            ends[update.action_id.name] = update.phase
        if len(ends) == count:
            break
    return Counter(ends.values())
