"""Tracked runs through the served API: created, reported, read, aborted, and kept apart from others."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.common.run_pb2 import Relation, RelationType
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow import run_service_pb2 as run_pb
from flyteidl2.workflow.run_definition_pb2 import ErrorInfo, RunSource

from controlplane.api.convert.keys import parse_run
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.reason_codes import Reason
from controlplane.loops.timeouts import Timeouts
from controlplane.usecases.explanations import Explanations
from shared.kit.clock import SystemClock
from tests.integration.api.client import ORG, ApiUnderTest, open_api
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    enqueue,
    project_id,
    refusal,
    run_id,
    task_id,
    task_spec,
)
from tests.integration.api.tracked_requests import (
    ABORTED,
    FAILED,
    RUN,
    SUCCEEDED,
    actions_of,
    create_tracked,
    details,
    phases,
    report,
    reported,
    trace_update,
    update,
    uploads,
)

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9


async def test_tracked_run_is_shown_as_reported_and_never_dispatched(api: ApiUnderTest) -> None:
    made = (await api.tracked.create_run(create_tracked(labels={"team": "a"}))).run
    assert made.action.metadata.source == RunSource.RUN_SOURCE_TRACKED
    assert made.labels == {"team": "a"}

    assert await reported(api, update(), update("c1", parent="a0", group="fan")) == [0, 0]
    assert await reported(
        api,
        update("c1", SUCCEEDED, version=1, has_outputs=True),
        trace_update("t1", SUCCEEDED, has_outputs=True),
        update("a0", SUCCEEDED, version=1, has_outputs=True, has_report=True),
    ) == [0, 0, 0]

    assert await phases(api) == {"a0": "SUCCEEDED", "c1": "SUCCEEDED", "t1": "SUCCEEDED"}
    child = await details(api, "c1")
    assert (child.metadata.parent, child.metadata.group) == ("a0", "fan")
    assert child.task == task_spec("env.child") or child.task.short_name == "child"
    [attempt] = child.attempts
    assert attempt.outputs.output_uri == f"{uploads(api)}/c1/1/outputs.pb"
    assert not attempt.logs_available
    root = await details(api)
    assert root.attempts[0].outputs.report_uri == f"{uploads(api)}/a0/1/report.html"
    assert not await api.claim()


async def test_repeated_batch_changes_nothing_and_is_taken(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    batch = [update(), update("c1", parent="a0"), update("c1", FAILED, version=1, error="no")]
    await reported(api, *batch)
    before = await details(api, "c1")

    assert await reported(api, *batch) == [0, 0, 0]

    assert await details(api, "c1") == before
    repeated = await api.tracked.create_run(create_tracked())
    assert repeated.run.action.id.name == "a0"


async def test_children_may_be_reported_before_their_parents(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())

    await reported(api, update("leaf", parent="mid"))
    assert (await details(api, "mid")).metadata.parent == "a0"
    await reported(api, update("mid", parent="top"), update("top", parent="leaf"))

    found = await actions_of(api)
    above = {name: each.metadata.parent for name, each in found.items()}
    assert above == {"a0": "", "leaf": "mid", "mid": "top", "top": "a0"}
    assert found["mid"].metadata.task.id.name == "env.child"


async def test_failed_attempt_is_retried_with_an_error_of_its_own(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update("c1", parent="a0"), update("c1", FAILED, version=1, error="once"))
    failed = await details(api, "c1")
    assert (failed.error_info.message, failed.error_info.kind) == ("once", ErrorInfo.KIND_USER)

    await reported(
        api,
        update("c1", attempt=2),
        update("c1", SUCCEEDED, attempt=2, version=1),
        update("c1", FAILED, version=2),  # of the first attempt, and late
    )

    found = await details(api, "c1")
    assert (found.status.phase, found.status.attempts) == (SUCCEEDED, 2)
    assert [(each.attempt, each.phase) for each in found.attempts] == [(1, FAILED), (2, SUCCEEDED)]
    assert found.attempts[0].error_info.message == "once"


async def test_bad_report_is_refused_alone(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    unspecified = update("c1", 0)
    foreign = update("c1", run="local-2")
    nameless = update("c1")
    nameless.event.id.name = "x" * 31
    own_parent = update("c1", parent="c1")
    too_late = update("c1", attempt=100_000)
    undated = update("c1")
    undated.event.reported_time.seconds = 2**62

    codes = await reported(
        api, unspecified, foreign, nameless, own_parent, too_late, undated, update()
    )

    assert codes == [*([INVALID_ARGUMENT] * 3), FAILED_PRECONDITION, *([INVALID_ARGUMENT] * 2), 0]
    assert await phases(api) == {"a0": "RUNNING"}


async def test_request_without_reports_or_run_is_invalid(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())

    code, message = await refusal(api.tracked.report_actions(report()))
    assert (code, "updates" in message) == (Code.INVALID_ARGUMENT, True)
    code, _ = await refusal(api.tracked.report_actions(report(update(), run="")))
    assert code is Code.INVALID_ARGUMENT
    code, message = await refusal(api.tracked.report_actions(report(update(), run="local-2")))
    assert (code, "tracked run" in message) == (Code.NOT_FOUND, True)


async def test_batch_of_more_than_a_page_is_taken_whole(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())

    codes = await reported(api, *(update(f"c{at}", parent="a0") for at in range(1_100)))

    assert set(codes) == {0}
    watched = api.tracked.watch_actions(run_pb.WatchActionsRequest(run_id=run_id(RUN)))
    seen: set[str] = set()
    while len(seen) < 1_101:
        answer = await anext(watched)
        seen |= {each.action.id.name for each in answer.enriched_actions}
    await watched.aclose()


async def test_abort_ends_all_actions_and_refuses_later_reports(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update(), update("c1", parent="a0"))

    await api.tracked.abort_run(run_pb.AbortRunRequest(run_id=run_id(RUN), reason="enough"))

    assert await phases(api) == {"a0": "ABORTED", "c1": "ABORTED"}
    assert await reported(
        api, update("c1", SUCCEEDED, version=1), update("c2", parent="a0"), update()
    ) == [FAILED_PRECONDITION, FAILED_PRECONDITION, 0]
    root = await details(api)
    assert root.abort_info.reason == "enough"
    assert root.attempts[0].phase == ABORTED


async def test_abort_that_the_program_reports_has_its_reason(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update(), update("c1", parent="a0"))

    codes = await reported(
        api,
        update("c1", ABORTED, version=1, error="interrupted"),
        update("a0", ABORTED, version=1, error="interrupted"),
    )

    assert codes == [0, 0]
    assert (await details(api)).abort_info.reason == "interrupted"


async def test_end_of_the_root_ends_actions_that_were_not_reported_to_their_end(
    api: ApiUnderTest,
) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update("c1", parent="a0"), update("c2", parent="c1"))

    await reported(api, update("a0", SUCCEEDED, version=1))

    assert await phases(api) == {"a0": "SUCCEEDED", "c1": "ABORTED", "c2": "ABORTED"}


async def test_run_without_reports_is_aborted_as_its_reporter_is_lost(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update(), update("c1", parent="a0"))

    class Later(SystemClock):
        ahead = timedelta(hours=23)

        def now(self) -> Any:
            return super().now() + self.ahead

    later = Later()
    loop = Timeouts(api.database, later, every=timedelta(seconds=1))
    assert await loop.run_once() == 0
    later.ahead = timedelta(hours=25)
    assert await loop.run_once() == 2

    assert await phases(api) == {"a0": "ABORTED", "c1": "ABORTED"}
    assert "its reporter was lost" in (await details(api)).abort_info.reason
    assert await reported(api, update("a0", SUCCEEDED, version=1)) == [FAILED_PRECONDITION]


async def test_tracked_runs_and_others_are_listed_apart(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("plain"))
    await api.tracked.create_run(create_tracked())
    request = run_pb.ListRunsRequest(project_id=project_id())

    plain = (await api.runs.list_runs(request)).runs
    tracked = (await api.tracked.list_runs(request)).runs

    assert [run.action.id.run.name for run in plain] == ["plain"]
    assert [run.action.id.run.name for run in tracked] == [RUN]
    read = await api.runs.get_run_details(run_pb.GetRunDetailsRequest(run_id=run_id(RUN)))
    assert read.details.action.metadata.source == RunSource.RUN_SOURCE_TRACKED
    for call in (
        api.tracked.get_run_details(run_pb.GetRunDetailsRequest(run_id=run_id("plain"))),
        api.tracked.abort_run(run_pb.AbortRunRequest(run_id=run_id("plain"))),
        api.tracked.report_actions(report(update(run="plain"), run="plain")),
    ):
        assert (await refusal(call))[0] is Code.NOT_FOUND


async def test_watches_of_runs_are_kept_apart(api: ApiUnderTest) -> None:
    request = run_pb.WatchRunsRequest(project_id=project_id())
    plain, tracked = api.runs.watch_runs(request), api.tracked.watch_runs(request)
    assert not (await anext(plain)).runs
    assert not (await anext(tracked)).runs

    await api.tracked.create_run(create_tracked())
    await api.runs.create_run(create_run("plain"))

    assert [run.action.id.run.name for run in (await anext(plain)).runs] == ["plain"]
    assert [run.action.id.run.name for run in (await anext(tracked)).runs] == [RUN]
    await plain.aclose()
    await tracked.aclose()


async def test_watches_of_a_tracked_run_end_with_it(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    run = api.tracked.watch_run_details(run_pb.WatchRunDetailsRequest(run_id=run_id(RUN)))
    action = api.tracked.watch_action_details(
        run_pb.WatchActionDetailsRequest(action_id=action_id(run=RUN))
    )
    await anext(run)
    await anext(action)

    await reported(api, update("a0", SUCCEEDED))

    assert [each.details.action.status.phase async for each in run][-1] == SUCCEEDED
    assert [each.details.status.phase async for each in action][-1] == SUCCEEDED


async def test_names_of_tracked_runs_and_others_do_not_collide(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("plain"))
    code, _ = await refusal(api.tracked.create_run(create_tracked("plain")))
    assert code is Code.ALREADY_EXISTS
    await api.tracked.create_run(create_tracked())
    code, _ = await refusal(api.runs.create_run(create_run(RUN)))
    assert code is Code.ALREADY_EXISTS
    code, message = await refusal(api.tracked.create_run(create_tracked("r2")))
    assert (code, "begins with r or u" in message) == (Code.INVALID_ARGUMENT, True)

    request = create_tracked()
    request.project_id.CopyFrom(project_id())
    named = (await api.tracked.create_run(request)).run.action.id.run.name
    assert named.startswith("local-")


async def test_no_other_way_changes_a_tracked_run(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    code, message = await refusal(api.actions.enqueue(enqueue(api, "child", run=RUN)))
    assert (code, RUN in message) == (Code.NOT_FOUND, True)

    claimed = create_run("plain", source=RunSource.RUN_SOURCE_TRACKED)
    code, message = await refusal(api.runs.create_run(claimed))
    assert (code, "TrackedRunService" in message) == (Code.INVALID_ARGUMENT, True)

    await reported(api, update("a0", SUCCEEDED))
    relation = Relation(related_to=run_id(RUN), relation_type=RelationType.RELATION_TYPE_RECOVER)
    recover = create_run("again", run_spec=RunSpec(relation=relation))
    code, message = await refusal(api.runs.create_run(recover))
    assert (code, "flyte rerun" in message) == (Code.FAILED_PRECONDITION, True)


async def test_explanation_of_a_tracked_run_names_no_wait_of_a_cluster(api: ApiUnderTest) -> None:
    await api.tracked.create_run(create_tracked())
    await reported(api, update(), update("a0", FAILED, version=1), update("a0", attempt=2))
    caller = Caller(subject=Subject("user:ada"), org=ORG, name="", grants=org_wide(EVERYTHING))

    found = await Explanations(api.database, SystemClock()).run(caller, parse_run(run_id(RUN)))

    assert "no cluster does" in found.root.now.message
    assert {each.reason for each in found.root.timeline} == {Reason.RUNNING}
    assert not found.pending


async def test_tracked_run_of_a_deployed_task_has_its_spec(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy())
    request = create_tracked()
    request.task_id.CopyFrom(task_id())

    await api.tracked.create_run(request)

    found = await details(api)
    assert found.task.task_template.container.image == "image"


async def test_task_that_no_cluster_could_run_is_tracked(api: ApiUnderTest) -> None:
    spec = TaskSpec(task_template=task_spec().task_template)
    spec.task_template.metadata.retries.retries = 1_000_000

    await api.tracked.create_run(create_tracked(task_spec=spec))

    assert (await details(api)).metadata.task.id.name == "env.main"


class Chosen:
    """Authenticates every call as the subject that the test has chosen."""

    subject = Subject("user:ada")

    async def authenticate(self, _headers: Mapping[str, str], _peer: str | None) -> Caller:
        return Caller(subject=self.subject, org=ORG, name="", grants=org_wide(EVERYTHING))


@pytest.fixture
async def of_two(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[ApiUnderTest, Chosen]]:
    chosen = Chosen()
    async with open_api(database_url, tmp_path / "blobs", authn=chosen) as api:
        yield api, chosen


async def test_only_its_creator_reports_a_run(of_two: tuple[ApiUnderTest, Chosen]) -> None:
    api, chosen = of_two
    await api.tracked.create_run(create_tracked())

    chosen.subject = Subject("user:eve")
    code, message = await refusal(api.tracked.report_actions(report(update())))

    assert (code, "user:ada" in message) == (Code.PERMISSION_DENIED, True)
    assert (await refusal(api.tracked.create_run(create_tracked())))[0] is Code.ALREADY_EXISTS
