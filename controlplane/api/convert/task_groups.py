"""Parses requests to watch groups of runs, and renders groups as flyteidl2 messages."""

from datetime import UTC

from flyteidl2.common.list_pb2 import Sort
from flyteidl2.workflow.run_definition_pb2 import TaskGroup as TaskGroupMessage
from flyteidl2.workflow.run_service_pb2 import WatchGroupsRequest, WatchGroupsResponse

from controlplane.api.convert import keys
from controlplane.api.convert.identities import render_identity
from controlplane.api.convert.timestamps import parse_timestamp
from controlplane.core.errors import InvalidError
from controlplane.core.profiles import Profiles
from controlplane.core.task_groups import MOST_GROUPS, GroupScope, TaskGroup
from controlplane.usecases.task_groups import GroupsUpdate
from shared.model.reports import FailureKind

_SYSTEM_KINDS = (FailureKind.SYSTEM, FailureKind.PREEMPTION)


def parse_group_scope(request: WatchGroupsRequest) -> GroupScope:
    """Parse the project and the window; its start is required."""
    project, domain = keys.parse_project(request.project_id)
    start = parse_timestamp(request.start_date, "start_date")
    end = parse_timestamp(request.end_date, "end_date") if request.HasField("end_date") else None
    if end is not None and end <= start:
        raise InvalidError(
            f"end_date: {end.astimezone(UTC).isoformat()} is not after start_date,"
            f" {start.astimezone(UTC).isoformat()}"
        )
    return GroupScope(project=project, domain=domain, start=start, end=end)


def parse_is_ascending(request: WatchGroupsRequest) -> bool:
    """Parse the order of the first list: by the time of the latest run, newest first by default."""
    if request.request.HasField("sort_by") or request.request.sort_by_fields:
        raise InvalidError(
            "request.sort_by: groups are sorted by their latest run; set known_sort_fields.created_at"
        )
    return any(field.created_at == Sort.ASCENDING for field in request.known_sort_fields)


def parse_most(request: WatchGroupsRequest) -> int:
    """Parse how many groups the first list may have."""
    if request.request.token:
        raise InvalidError("request.token: groups have no pages; set request.limit")
    if request.request.limit > MOST_GROUPS:
        raise InvalidError(f"request.limit: at most {MOST_GROUPS}, not {request.request.limit}")
    return request.request.limit or MOST_GROUPS


def render_groups(update: GroupsUpdate, profiles: Profiles) -> WatchGroupsResponse:
    groups = [_render(group, profiles) for group in update.groups]
    gone = [TaskGroupMessage(task_name=name, should_delete=True) for name in update.gone]
    return WatchGroupsResponse(task_groups=[*groups, *gone])


def _render(group: TaskGroup, profiles: Profiles) -> TaskGroupMessage:
    count = group.errors.get
    message = TaskGroupMessage(
        task_name=group.task_name,
        environment_name=group.environment,
        short_name=group.short_name,
        total_runs=group.total,
        latest_run_time=group.latest_at,
        recent_statuses=[
            TaskGroupMessage.RecentStatus(run_name=run, phase=phase.value)
            for run, phase in group.recent
        ],
        average_failure_rate=group.failure_rate,
        average_duration=group.average_duration,
        latest_finished_time=group.latest_ended_at,
        created_by=[
            identity
            for creator in group.creators
            if (identity := render_identity(creator, profiles)) is not None
        ],
        phase_counts=[
            TaskGroupMessage.PhaseCounts(phase=phase.value, count=runs)
            for phase, runs in sorted(group.phases.items())
        ],
        average_time_to_running=group.average_time_to_running,
    )
    message.error_counts.CopyFrom(
        TaskGroupMessage.ErrorCounts(
            user_error=count(FailureKind.USER, 0),
            system_error=sum(count(kind, 0) for kind in _SYSTEM_KINDS),
            unspecified_error=count(FailureKind.UNKNOWN, 0),
        )
    )
    return message
