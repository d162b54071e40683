"""Watches of a project's runs, grouped by their task."""

import json
from collections.abc import Callable
from datetime import UTC, timedelta

import pytest
from connectrpc.code import Code
from flyteidl2.common.list_pb2 import Filter, ListRequest, Sort
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_definition_pb2 import TaskGroup
from flyteidl2.workflow.run_service_pb2 import WatchGroupsRequest, WatchGroupsResponse
from sqlalchemy import text

from controlplane.store.notify.changes import CHANNEL
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.requests import create_run, project_id, refusal, task_spec

START = SystemClock().now() - timedelta(hours=1)
BROKEN = Failure(code="Broken", kind=FailureKind.USER, message="broken", recoverable=False)
Order = WatchGroupsRequest.KnownSortField


def watch(**fields: object) -> WatchGroupsRequest:
    return WatchGroupsRequest(project_id=project_id(), **{"start_date": START, **fields})


async def run(api: ApiUnderTest, name: str, task: str = "env.main") -> None:
    await api.runs.create_run(create_run(name, task_spec=task_spec(task)))


async def once(api: ApiUnderTest, **fields: object) -> list[TaskGroup]:
    """Return the groups of a window that has ended."""
    end = SystemClock().now() + timedelta(hours=1)
    answers: list[WatchGroupsResponse] = [
        answer async for answer in api.runs.watch_groups(watch(end_date=end, **fields))
    ]
    assert [answer.sentinel for answer in answers] == [False, True]
    return list(answers[0].task_groups)


async def test_watch_groups_sends_all_groups_and_then_those_that_changed(
    api: ApiUnderTest,
) -> None:
    for number, task in enumerate(["env.a", "env.b", "env.c"]):
        await run(api, f"r{number}", task)
    answers = api.runs.watch_groups(watch())

    first, sentinel = await anext(answers), await anext(answers)
    await run(api, "r3", "env.a")
    changed = await anext(answers)
    await answers.aclose()

    assert [group.task_name for group in first.task_groups] == ["env.c", "env.b", "env.a"]
    assert not first.sentinel
    assert (sentinel.sentinel, list(sentinel.task_groups)) == (True, [])
    (group,) = changed.task_groups
    assert (group.task_name, group.total_runs, changed.sentinel) == ("env.a", 2, False)
    assert [recent.run_name for recent in group.recent_statuses] == ["r3", "r0"]


async def test_group_counts_phases_and_errors_of_its_runs(api: ApiUnderTest) -> None:
    await run(api, "r1")
    await api.finish()
    for name in ("r2", "r3"):
        await run(api, name)
    await api.finish(Phase.FAILED, BROKEN)
    await run(api, "r4")

    (group,) = await once(api)

    failed, succeeded, queued = (
        ActionPhase.ACTION_PHASE_FAILED,
        ActionPhase.ACTION_PHASE_SUCCEEDED,
        ActionPhase.ACTION_PHASE_QUEUED,
    )
    assert (group.environment_name, group.short_name, group.total_runs) == ("env", "main", 4)
    assert {each.phase: each.count for each in group.phase_counts} == {
        failed: 2, succeeded: 1, queued: 1
    }  # fmt: skip
    assert group.average_failure_rate == 0.5
    assert (group.error_counts.user_error, group.error_counts.system_error) == (2, 0)
    assert [(each.run_name, each.phase) for each in group.recent_statuses] == [
        ("r4", queued), ("r3", failed), ("r2", failed), ("r1", succeeded)
    ]  # fmt: skip
    assert group.average_duration.ToTimedelta() > timedelta(0)
    assert group.average_time_to_running.ToTimedelta() > timedelta(0)
    assert group.latest_run_time.ToDatetime(UTC) > START
    assert group.latest_finished_time.ToDatetime(UTC) < group.latest_run_time.ToDatetime(UTC)
    (creator,) = group.created_by
    assert creator.user.id.subject == "anonymous"


async def test_group_names_its_latest_ten_runs(api: ApiUnderTest) -> None:
    for number in range(12):
        await run(api, f"r{number:02}")

    (group,) = await once(api)

    assert [recent.run_name for recent in group.recent_statuses] == [
        f"r{number:02}" for number in reversed(range(2, 12))
    ]
    assert group.total_runs == 12


async def test_groups_are_of_the_window_the_filters_and_the_limit(api: ApiUnderTest) -> None:
    for number, task in enumerate(["env.a", "env.b"]):
        await run(api, f"r{number}", task)
    of_b = Filter(function=Filter.EQUAL, field="task_name", values=["env.b"])
    oldest = [Order(created_at=Sort.ASCENDING)]

    async def names(**fields: object) -> list[str]:
        return [group.task_name for group in await once(api, **fields)]

    assert await names(request=ListRequest(filters=[of_b])) == ["env.b"]
    assert await names(request=ListRequest(limit=1)) == ["env.b"]
    assert await names(known_sort_fields=oldest) == ["env.a", "env.b"]
    assert await names(start_date=SystemClock().now()) == []


async def test_group_that_left_the_filter_is_deleted(api: ApiUnderTest) -> None:
    await run(api, "r1")
    queued = Filter(function=Filter.EQUAL, field="phase", values=["QUEUED"])
    answers = api.runs.watch_groups(watch(request=ListRequest(filters=[queued])))
    first, _ = await anext(answers), await anext(answers)

    await api.finish()
    changed = await anext(answers)
    await answers.aclose()

    assert [group.task_name for group in first.task_groups] == ["env.main"]
    (group,) = changed.task_groups
    assert (group.task_name, group.should_delete) == ("env.main", True)


async def test_all_groups_are_looked_up_when_too_many_runs_changed_to_name_them(
    api: ApiUnderTest,
) -> None:
    for number, task in enumerate(["env.a", "env.b"]):
        await run(api, f"r{number}", task)
    queued = Filter(function=Filter.EQUAL, field="phase", values=["QUEUED"])
    answers = api.runs.watch_groups(watch(request=ListRequest(filters=[queued])))
    first, _ = await anext(answers), await anext(answers)

    async with api.database.for_org(ORG) as tx:
        await tx.execute(
            text("UPDATE actions SET phase = 6 WHERE org = :org AND task_name = 'env.a'")
        )
        await tx.execute(
            text("SELECT pg_notify(:channel, :payload)"),
            {"channel": CHANNEL, "payload": json.dumps({"o": ORG, "r": "*"})},
        )
    changed = await anext(answers)
    await answers.aclose()

    assert len(first.task_groups) == 2
    assert [(group.task_name, group.should_delete) for group in changed.task_groups] == [
        ("env.a", True)
    ]


def _no_start(request: WatchGroupsRequest) -> None:
    request.ClearField("start_date")


def _end_before_start(request: WatchGroupsRequest) -> None:
    request.end_date.FromDatetime(START)


def _no_project(request: WatchGroupsRequest) -> None:
    request.ClearField("project_id")


def _sorted_by_name(request: WatchGroupsRequest) -> None:
    request.request.sort_by.CopyFrom(Sort(key="task_name"))


def _second_page(request: WatchGroupsRequest) -> None:
    request.request.token = "next"  # noqa: S105


def _large(request: WatchGroupsRequest) -> None:
    request.request.limit = 1_001


def _unknown_field(request: WatchGroupsRequest) -> None:
    request.request.filters.add(function=Filter.EQUAL, field="colour", values=["red"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_start, "start_date: value is required"),
        (_end_before_start, "is not after start_date"),
        (_no_project, "scope_by: exactly one field is required"),
        (_sorted_by_name, "known_sort_fields.created_at"),
        (_second_page, "groups have no pages"),
        (_large, "at most 1000"),
        (_unknown_field, "unknown field 'colour'"),
    ],
)
async def test_watch_groups_refuses_what_it_cannot_do(
    api: ApiUnderTest, change: Callable[[WatchGroupsRequest], None], words: str
) -> None:
    request = watch()
    change(request)

    code, message = await refusal(anext(api.runs.watch_groups(request)))

    assert code is Code.INVALID_ARGUMENT
    assert words in message
