"""Parses tracked runs and the reports of their actions; answers reports one by one."""

import secrets
import string
from collections.abc import Iterable, Sequence
from datetime import datetime

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import ActionEvent, ErrorInfo
from flyteidl2.workflow.tracked_run_service_pb2 import (
    CreateTrackedRunRequest,
    ReportTrackedActionsRequest,
    ReportTrackedActionsResponse,
    TrackedActionUpdate,
)
from google.rpc.status_pb2 import Status

from controlplane.api.convert import keys
from controlplane.api.convert.runs import parse_labels
from controlplane.api.convert.specs import parse_reported_spec, parse_run_spec, parse_trace_spec
from controlplane.api.convert.strings import parse_label, parse_uri
from controlplane.api.convert.timestamps import parse_timestamp
from controlplane.api.validation import validate
from controlplane.core import layout, names
from controlplane.core.actions import ActionType, RunSource, TaskInfo
from controlplane.core.caching import CacheStatus
from controlplane.core.errors import ExhaustedError, InvalidError, RequestError
from controlplane.core.runs import NewRun
from controlplane.core.tasks import TaskKey
from controlplane.core.tracked_runs import (
    MAX_ATTEMPT,
    MAX_VERSION,
    REPORTED_FAILURE,
    Description,
    Update,
)
from shared.model.ids import ROOT, ActionKey, ActionName, OrgName, RunKey, RunName
from shared.model.phases import Phase
from shared.model.reports import MAX_MESSAGE_BYTES, Failure, FailureKind

_NAME_LETTERS = string.digits + string.ascii_lowercase
_NAME_LENGTH = 20
_RESERVED = ("r", "u")
_MOST_CODE = 200
# Codes of google.rpc.Status, by the kind of the error.
_INVALID_ARGUMENT, _RESOURCE_EXHAUSTED, _FAILED_PRECONDITION = 3, 8, 9
_KINDS = {
    ErrorInfo.KIND_UNSPECIFIED: FailureKind.USER,
    ErrorInfo.KIND_USER: FailureKind.USER,
    ErrorInfo.KIND_SYSTEM: FailureKind.SYSTEM,
}
_REPORTED = frozenset(Phase) - {Phase.UNKNOWN, Phase.RECOVERED}


def parse_run_key(request: CreateTrackedRunRequest) -> RunKey:
    """Parse the run's name, or generate one; names of other runs begin with letters of their own."""
    if request.WhichOneof("id") == "run_id":
        key = keys.parse_run(request.run_id)
        if key.name.startswith(_RESERVED):
            raise InvalidError(
                f"run_id.name: {key.name!r} begins with {' or '.join(_RESERVED)}, as names of runs"
                " do that run in clusters; choose a name that begins otherwise"
            )
        return key
    project, domain = keys.parse_project(request.project_id)
    letters = "".join(secrets.choice(_NAME_LETTERS) for _ in range(_NAME_LENGTH))
    return RunKey(project, domain, RunName(f"local-{letters}"))


def parse_task(request: CreateTrackedRunRequest) -> TaskKey | bytes:
    """Parse the task: the key of a deployed one, or a serialised TaskSpec."""
    if request.WhichOneof("task") == "task_id":
        return keys.parse_task(request.task_id)
    return bytes(request.task_spec.SerializeToString(deterministic=True))


def parse_new_run(
    task_spec: bytes, request: CreateTrackedRunRequest, key: RunKey, *, org: OrgName, base: str
) -> NewRun:
    """Parse the request for a tracked run of a serialised TaskSpec."""
    spec, info = parse_reported_spec(TaskSpec.FromString(task_spec))
    started_at: datetime | None = None
    if request.HasField("run_start_time"):
        started_at = parse_timestamp(request.run_start_time, "run_start_time")
    uri = parse_uri(request.offloaded_input_data.uri, "offloaded_input_data.uri")
    return NewRun(
        key=ActionKey(key, ROOT),
        spec=spec,
        run_spec=parse_run_spec(request.run_spec),
        info=info,
        input_uri=uri,
        run_base=layout.tracked_run_base(base, org, key),
        labels=parse_labels({**request.run_spec.labels.values, **request.labels}),
        source=RunSource.TRACKED,
        started_at=started_at,
    )


def parse_reports(request: ReportTrackedActionsRequest) -> Sequence[Update | InvalidError]:
    """Parse each report; a bad one is an error in its place, and no reason to refuse the others."""
    validate(request.run_id)
    if not request.updates:
        raise InvalidError("updates: is empty; send at least one report")
    run = keys.parse_run(request.run_id)
    return [_parse_or_refuse(update, run) for update in request.updates]


def render_statuses(answers: Iterable[RequestError | None]) -> ReportTrackedActionsResponse:
    return ReportTrackedActionsResponse(statuses=[_render_status(each) for each in answers])


def _parse_or_refuse(message: TrackedActionUpdate, run: RunKey) -> Update | InvalidError:
    try:
        validate(message)
        return _parse_update(message, run)
    except InvalidError as error:
        return error


def _parse_update(message: TrackedActionUpdate, run: RunKey) -> Update:
    event: ActionEvent = message.event
    action = keys.parse_action(event.id)
    if action.run != run:
        raise InvalidError(
            f"event.id: is of run {action.run}, not of {run}, which the request names"
        )
    if event.attempt > MAX_ATTEMPT:
        raise InvalidError(f"event.attempt: must be at most {MAX_ATTEMPT}, not {event.attempt}")
    if event.version >= MAX_VERSION:
        raise InvalidError(f"event.version: must be less than {MAX_VERSION}, not {event.version}")
    phase = _parse_phase(event.phase)
    at = event.reported_time if event.HasField("reported_time") else event.updated_time
    started_at = None
    if message.status.HasField("start_time"):
        started_at = parse_timestamp(message.status.start_time, "status.start_time")
    return Update(
        name=action.name,
        attempt=event.attempt,
        version=event.version + 1,  # the first is 0
        phase=phase,
        at=parse_timestamp(at, "event.reported_time"),
        started_at=started_at,
        failure=_parse_failure(event.error_info) if event.HasField("error_info") else None,
        has_outputs=bool(event.outputs.output_uri),
        has_report=bool(event.outputs.report_uri),
        cache_status=_parse_cache_status(event.cache_status),
        described=_parse_description(message, action.name),
    )


def _parse_phase(number: int) -> Phase:
    if number not in {phase.value for phase in _REPORTED}:
        known = ", ".join(phase.name for phase in sorted(_REPORTED))
        name = ActionPhase.Name(number) if number in ActionPhase.values() else number
        raise InvalidError(f"event.phase: {name} is not reported; one of {known} is")
    return Phase(number)


def _parse_cache_status(number: int) -> CacheStatus:
    try:
        return CacheStatus(number)
    except ValueError:
        return CacheStatus.DISABLED


def _parse_failure(message: ErrorInfo) -> Failure:
    text = parse_label(message.message, most=MAX_MESSAGE_BYTES).encode()
    return Failure(
        code=parse_label(message.code, most=_MOST_CODE) or REPORTED_FAILURE,
        kind=_KINDS.get(message.kind, FailureKind.USER),
        message=text[:MAX_MESSAGE_BYTES].decode(errors="ignore"),
    )


def _parse_description(message: TrackedActionUpdate, name: ActionName) -> Description | None:
    """Parse what the first report about an action says of it; the root was described before."""
    if name == ROOT or message.WhichOneof("spec") is None:
        return None
    parent = names.parse_action(message.parent_name or ROOT)
    group = parse_label(message.group)
    if message.WhichOneof("spec") == "trace":
        return Description(
            parent=parent,
            type=ActionType.TRACE,
            spec=parse_trace_spec(message.trace.spec),
            info=TaskInfo(short_name=parse_label(message.trace.name)),
            group=group,
        )
    spec, info = parse_reported_spec(message.task.spec)
    return Description(parent=parent, type=ActionType.TASK, spec=spec, info=info, group=group)


def _render_status(error: RequestError | None) -> Status:
    match error:
        case None:
            return Status()
        case InvalidError():
            return Status(code=_INVALID_ARGUMENT, message=str(error))
        case ExhaustedError():
            return Status(code=_RESOURCE_EXHAUSTED, message=str(error))
        case _:
            return Status(code=_FAILED_PRECONDITION, message=str(error))
