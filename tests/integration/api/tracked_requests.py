"""Requests about tracked runs, as the SDK's reporter makes them."""

from collections.abc import Callable, Mapping
from typing import Any

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow import run_service_pb2 as run_pb, tracked_run_service_pb2 as tracked_pb
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.core.layout import outputs_uri, report_uri
from shared.kit.clock import SystemClock
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import action_id, run_id, task_spec

RUN = "local-1"
RUNNING = ActionPhase.ACTION_PHASE_RUNNING
SUCCEEDED = ActionPhase.ACTION_PHASE_SUCCEEDED
FAILED = ActionPhase.ACTION_PHASE_FAILED
ABORTED = ActionPhase.ACTION_PHASE_ABORTED


def create_tracked(name: str = RUN, **fields: Any) -> tracked_pb.CreateTrackedRunRequest:
    given: dict[str, Any] = {"run_id": run_id(name), "task_spec": task_spec()}
    return tracked_pb.CreateTrackedRunRequest(**(given | fields))


def update(
    name: str = "a0",
    phase: int = RUNNING,
    *,
    version: int = 0,
    attempt: int = 1,
    parent: str | None = None,
    group: str = "",
    error: str = "",
    has_outputs: bool = False,
    has_report: bool = False,
    cache: int = 0,
    run: str = RUN,
) -> tracked_pb.TrackedActionUpdate:
    """A report; with a parent it is the first one about its action."""
    made = tracked_pb.TrackedActionUpdate(group=group)
    event = made.event
    event.id.CopyFrom(action_id(name, run=run))
    event.phase, event.version, event.attempt, event.cache_status = phase, version, attempt, cache
    event.reported_time.FromDatetime(SystemClock().now())
    if error:
        event.error_info.message = error
    prefix = f"s3://anywhere/{name}"
    event.outputs.output_uri = outputs_uri(prefix) if has_outputs else ""
    event.outputs.report_uri = report_uri(prefix) if has_report else ""
    if parent is not None:
        made.parent_name = parent
        made.task.spec.CopyFrom(task_spec("env.child"))
    return made


def trace_update(
    name: str, phase: int, *, version: int = 0, has_outputs: bool = False
) -> tracked_pb.TrackedActionUpdate:
    made = update(name, phase, version=version, has_outputs=has_outputs)
    made.parent_name, made.trace.name = "a0", "step"
    made.trace.spec.interface.SetInParent()
    return made


def report(
    *updates: tracked_pb.TrackedActionUpdate, run: str = RUN
) -> tracked_pb.ReportTrackedActionsRequest:
    return tracked_pb.ReportTrackedActionsRequest(run_id=run_id(run), updates=updates)


def uploads(api: ApiUnderTest, run: str = RUN) -> str:
    """Where a program uploads the data of a tracked run."""
    return f"{api.blobs.base}/{ORG}/uploads/{PROJECT}/{DOMAIN}/tracked-runs/{run}"


REQUESTS: Mapping[str, Callable[[ApiUnderTest], Message]] = {
    "TrackedRunService/CreateRun": lambda _: create_tracked(
        "local-new", run_start_time=Timestamp(seconds=1000)
    ),
    "TrackedRunService/ReportActions": lambda _: report(update("child", parent="a0")),
    "TrackedRunService/GetRunDetails": lambda _: run_pb.GetRunDetailsRequest(run_id=run_id(RUN)),
    "TrackedRunService/WatchRunDetails": lambda _: run_pb.WatchRunDetailsRequest(
        run_id=run_id(RUN)
    ),
    "TrackedRunService/GetActionDetails": lambda _: run_pb.GetActionDetailsRequest(
        action_id=action_id(run=RUN)
    ),
    "TrackedRunService/WatchActionDetails": lambda _: run_pb.WatchActionDetailsRequest(
        action_id=action_id(run=RUN)
    ),
    "TrackedRunService/ListRuns": lambda _: run_pb.ListRunsRequest(org=ORG),
    "TrackedRunService/WatchRuns": lambda _: run_pb.WatchRunsRequest(org=ORG),
    "TrackedRunService/ListActions": lambda _: run_pb.ListActionsRequest(run_id=run_id(RUN)),
    "TrackedRunService/WatchActions": lambda _: run_pb.WatchActionsRequest(run_id=run_id(RUN)),
    "TrackedRunService/AbortRun": lambda _: run_pb.AbortRunRequest(run_id=run_id(RUN)),
}


async def reported(api: ApiUnderTest, *updates: Any) -> list[int]:
    """Report, and return the code of each answer; 0: it was taken."""
    answer = await api.tracked.report_actions(report(*updates))
    return [status.code for status in answer.statuses]


async def details(api: ApiUnderTest, name: str = "a0", run: str = RUN) -> Any:
    request = run_pb.GetActionDetailsRequest(action_id=action_id(name, run=run))
    return (await api.tracked.get_action_details(request)).details


async def actions_of(api: ApiUnderTest) -> dict[str, Any]:
    request = run_pb.ListActionsRequest(run_id=run_id(RUN))
    return {each.id.name: each for each in (await api.tracked.list_actions(request)).actions}


async def phases(api: ApiUnderTest) -> dict[str, str]:
    return {
        name: ActionPhase.Name(each.status.phase).removeprefix("ACTION_PHASE_")
        for name, each in (await actions_of(api)).items()
    }
