"""Parses requests to deploy triggers and the runs they start; renders triggers and revisions."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from flyteidl2.common.identifier_pb2 import TriggerIdentifier, TriggerName
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.task.common_pb2 import TriggerAutomationSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec, TaskTrigger
from flyteidl2.task.task_service_pb2 import DeployTaskRequest
from flyteidl2.trigger.trigger_definition_pb2 import (
    Trigger,
    TriggerDetails,
    TriggerMetadata,
    TriggerRevision,
    TriggerSpec,
    TriggerStatus,
)
from flyteidl2.trigger.trigger_service_pb2 import DeployTriggerRequest, ListTriggersRequest
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest

from controlplane.api.convert import keys
from controlplane.api.convert.artifact_triggers import (
    check_bound_inputs,
    parse_match,
    require_no_bound_inputs,
)
from controlplane.api.convert.cache_keys import KICKOFF
from controlplane.api.convert.data import list_arguments
from controlplane.api.convert.identities import render_identity
from controlplane.api.convert.literal_types import takes
from controlplane.api.convert.runs import parse_run_request
from controlplane.api.convert.schedules import parse_automation
from controlplane.api.convert.strings import parse_text
from controlplane.core.actions import RunSource, RunTrigger
from controlplane.core.errors import InvalidError
from controlplane.core.firings import parse_overlap
from controlplane.core.runs import NewRun
from controlplane.core.scoped_settings import Effective
from controlplane.core.tasks import TaskKey
from controlplane.core.triggers import (
    MOST_TRIGGERS_OF_TASK,
    DueTrigger,
    NewTrigger,
    Origin,
    TriggerKey,
    TriggerRequest,
    TriggerRow,
    TriggerScope,
    name_run,
)
from shared.model.ids import OrgName, RunKey, RunName

_MAX_DESCRIPTION = 255
_START_TIME = "{{.runStartTime}}"
_SOME_RUN = RunName("t0")  # of the run that a new trigger is checked by


def parse_keys(messages: Iterable[TriggerName]) -> Sequence[TriggerKey]:
    return [keys.parse_trigger(message) for message in messages]


def parse_version(request: DeployTriggerRequest) -> str:
    return parse_text(request.spec.task_version, "spec.task_version", most=63)


def parse_revision(message: TriggerIdentifier) -> int:
    revision: int = message.revision
    if not 0 < revision < 2**63:
        raise InvalidError(f"id.revision: {revision} is out of range; revisions begin at 1")
    return revision


def parse_deploy(
    request: DeployTriggerRequest,
    task_spec: bytes,
    effective: Effective,
    *,
    org: OrgName,
    base: str,
    now: datetime,
) -> TriggerRequest:
    """Parse the request for a trigger of a serialised TaskSpec; InvalidError names the field."""
    return _parse(
        keys.parse_trigger(request.name),
        request.spec,
        request.automation_spec,
        TaskSpec.FromString(task_spec),
        effective,
        origin=Origin.API,
        org=org,
        base=base,
        now=now,
    )


def parse_of_task(
    request: DeployTaskRequest, effective: Effective, *, org: OrgName, base: str, now: datetime
) -> Sequence[TriggerRequest]:
    """Parse the triggers that are deployed with a task; their names differ."""
    if len(request.triggers) > MOST_TRIGGERS_OF_TASK:
        raise InvalidError(
            f"triggers: a task has at most {MOST_TRIGGERS_OF_TASK}, not {len(request.triggers)}"
        )
    task = keys.parse_task(request.task_id)
    parsed: dict[str, TriggerRequest] = {}
    for trigger in request.triggers:
        if trigger.name in parsed:
            raise InvalidError(f"triggers: there are two of the name {trigger.name!r}")
        key = TriggerKey(
            task.project,
            task.domain,
            task.name,
            keys.parse_trigger_part(trigger.name, "triggers.name"),
        )
        parsed[trigger.name] = _parse(
            key,
            _spec_of(trigger, task.version),
            trigger.automation_spec,
            request.spec,
            effective,
            origin=Origin.DEPLOYMENT,
            org=org,
            base=base,
            now=now,
        )
    return list(parsed.values())


def build_run(
    due: DueTrigger, task_spec: bytes, effective: Effective, org: OrgName, *, base: str
) -> NewRun:
    """
    Build the run of a scheduled instant, by the rules for a caller's CreateRunRequest.

    The kickoff time is the scheduled instant, however late the run is created.
    """
    row = due.row
    key = name_run(org, row.key, due.fire_at)
    spec = TriggerSpec.FromString(row.spec)
    request = CreateRunRequest(run_id=keys.render_run(org, key), run_spec=spec.run_spec)
    request.offloaded_input_data.uri = row.input_uri
    parsed = parse_run_request(
        request, key, task_spec, effective, org=org, base=base, trigger=run_trigger(row)
    )
    return replace(parsed.new, source=RunSource.SCHEDULE_TRIGGER, started_at=due.fire_at)


def run_trigger(row: TriggerRow) -> RunTrigger:
    return RunTrigger(
        task_name=row.key.task_name,
        name=row.key.name,
        revision=row.revision,
        automation=row.automation,
    )


def complete_run(request: CreateRunRequest, run: RunKey, row: TriggerRow) -> CreateRunRequest:
    """
    Return a request to run a trigger's task, with what it leaves out from the trigger.

    Its inputs and its RunSpec each replace the trigger's as a whole: the SDK has merged them.
    """
    key = row.key
    if (run.project, run.domain) != (key.project, key.domain):
        raise InvalidError(
            f"trigger_name: {key} starts runs in its own project and domain, not in"
            f" {run.project}/{run.domain}"
        )
    completed = CreateRunRequest()
    completed.CopyFrom(request)
    completed.task_id.CopyFrom(
        keys.render_task(
            OrgName(""), TaskKey(key.project, key.domain, key.task_name, row.task_version)
        )
    )
    if not completed.HasField("run_spec"):
        completed.run_spec.CopyFrom(TriggerSpec.FromString(row.spec).run_spec)
    if completed.WhichOneof("input_wrapper") is None:
        require_no_bound_inputs(row.automation)
        completed.offloaded_input_data.uri = row.input_uri
    return completed


def parse_scope(request: ListTriggersRequest) -> TriggerScope:
    match request.WhichOneof("scope_by"):
        case "project_id":
            project, domain = keys.parse_project(request.project_id)
            return TriggerScope(project=project, domain=domain)
        case "task_name":
            name = keys.parse_task_name(request.task_name)
            return TriggerScope(project=name.project, domain=name.domain, task_name=name.name)
        case "task_id":
            task = keys.parse_task(request.task_id)
            return TriggerScope(
                project=task.project,
                domain=task.domain,
                task_name=task.name,
                task_version=task.version,
            )
        case _:
            return TriggerScope()


def render_details(org: OrgName, row: TriggerRow) -> TriggerDetails:
    spec = TriggerSpec.FromString(row.spec)
    spec.active = row.active
    details = TriggerDetails(
        id=_render_id(org, row),
        metadata=_render_metadata(row),
        spec=spec,
        status=_render_status(row),
        automation_spec=TriggerAutomationSpec.FromString(row.automation),
    )
    if row.description:
        details.description = row.description
    return details


def render_trigger(org: OrgName, row: TriggerRow) -> Trigger:
    return Trigger(
        id=_render_id(org, row),
        metadata=_render_metadata(row),
        status=_render_status(row),
        active=row.active,
        automation_spec=TriggerAutomationSpec.FromString(row.automation),
    )


def render_revision(org: OrgName, row: TriggerRow) -> TriggerRevision:
    return TriggerRevision(
        id=_render_id(org, row),
        metadata=_render_metadata(row),
        status=_render_status(row),
        action=row.action.value,
        created_at=row.updated_at,
    )


def _parse(
    key: TriggerKey,
    message: TriggerSpec,
    automation: TriggerAutomationSpec,
    task: TaskSpec,
    effective: Effective,
    *,
    origin: Origin,
    org: OrgName,
    base: str,
    now: datetime,
) -> TriggerRequest:
    kind, schedule = parse_automation(automation, now)
    spec = TriggerSpec()
    spec.CopyFrom(message)
    spec.active = False  # a column; the spec stays the same when it is activated
    if spec.run_spec.HasField("relation"):
        raise InvalidError("spec.run_spec.relation: a trigger's runs are related to no other run")
    kickoff = automation.schedule.kickoff_time_input_arg
    artifact = parse_match(automation)
    _check_inputs(spec, kickoff, task, check_bound_inputs(automation, task))
    if kickoff and spec.WhichOneof("input_wrapper") != "offloaded_input_data":
        _mark_kickoff(spec, kickoff)
    request = CreateRunRequest(run_spec=spec.run_spec)
    if spec.WhichOneof("input_wrapper") == "offloaded_input_data":
        request.offloaded_input_data.CopyFrom(spec.offloaded_input_data)
    else:
        request.inputs.CopyFrom(spec.inputs)
    run = parse_run_request(
        request,
        RunKey(key.project, key.domain, _SOME_RUN),
        task.SerializeToString(deterministic=True),
        effective,
        org=org,
        base=base,
    )
    new = NewTrigger(
        key=key,
        task_version=spec.task_version,
        spec=spec.SerializeToString(deterministic=True),
        automation=automation.SerializeToString(deterministic=True),
        automation_type=kind,
        active=message.active,
        input_uri=run.new.input_uri,
        description=parse_text(spec.description, "spec.description", most=_MAX_DESCRIPTION),
        origin=origin,
        schedule=schedule,
        artifact=artifact,
        overlap=parse_overlap(spec.run_spec.labels.values),
    )
    return TriggerRequest(new=new, run=run)


def _spec_of(trigger: TaskTrigger, version: str) -> TriggerSpec:
    given = trigger.spec
    spec = TriggerSpec(
        run_spec=given.run_spec,
        active=given.active,
        task_version=version,
        description=given.description,
    )
    if given.WhichOneof("input_wrapper") == "offloaded_input_data":
        spec.offloaded_input_data.CopyFrom(given.offloaded_input_data)
    else:
        spec.inputs.CopyFrom(given.inputs)
    return spec


def _check_inputs(spec: TriggerSpec, kickoff: str, task: TaskSpec, bound: Collection[str]) -> None:
    """
    Raise InvalidError unless a run would have each input that the task requires.

    ``bound``: inputs that get their value when the trigger fires.
    """
    inputs = {entry.key: entry.value for entry in task.task_template.interface.inputs.variables}
    if kickoff:
        field = "automation_spec.schedule.kickoff_time_input_arg"
        if kickoff not in inputs:
            raise InvalidError(f"{field}: the task has no input {kickoff!r}; {_there_are(inputs)}")
        if not takes(inputs[kickoff].type, SimpleType.DATETIME):
            raise InvalidError(f"{field}: input {kickoff!r} of the task is not a datetime")
        if not any(_START_TIME in arg for process in list_arguments(task) for arg in process):
            raise InvalidError(
                f"{field}: the task's command has no {_START_TIME}, so that it would not get the"
                " time; deploy it with a later SDK, or without a kickoff time"
            )
    if spec.WhichOneof("input_wrapper") == "offloaded_input_data":
        return  # the bucket has them
    given = {literal.name for literal in spec.inputs.literals}
    unknown = sorted(given - set(inputs))
    if unknown:
        raise InvalidError(
            f"spec.inputs: the task has no input {unknown[0]!r}; {_there_are(inputs)}"
        )
    defaults = {each.name for each in task.default_inputs if each.parameter.HasField("default")}
    missing = sorted(set(inputs) - given - defaults - {kickoff, *bound})
    if missing:
        raise InvalidError(
            f"spec.inputs: the task needs {', '.join(map(repr, missing))}; give the trigger a"
            " value for each input without a default"
        )


def _mark_kickoff(spec: TriggerSpec, kickoff: str) -> None:
    """Name the argument for the kickoff time in the inputs, where the SDK in the task finds it."""
    if all(pair.key != KICKOFF for pair in spec.inputs.context):
        spec.inputs.context.add(key=KICKOFF, value=kickoff)


def _there_are(inputs: Iterable[str]) -> str:
    return f"there is {', '.join(sorted(inputs)) or 'none'}"


def _render_id(org: OrgName, row: TriggerRow) -> TriggerIdentifier:
    return TriggerIdentifier(name=keys.render_trigger(org, row.key), revision=row.revision)


def _render_metadata(row: TriggerRow) -> TriggerMetadata:
    return TriggerMetadata(
        deployed_by=render_identity(row.deployed_by, row.profiles),
        updated_by=render_identity(row.updated_by, row.profiles),
    )


def _render_status(row: TriggerRow) -> TriggerStatus:
    return TriggerStatus(
        deployed_at=row.deployed_at,
        updated_at=row.updated_at,
        triggered_at=row.triggered_at,
        deleted_at=row.deleted_at,
    )
