"""Parses requests to create and list runs, and renders runs as flyteidl2 messages."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from flyteidl2.task.common_pb2 import TriggerAutomationSpec
from flyteidl2.task.run_pb2 import CacheLookupScope, RunSpec
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec
from flyteidl2.workflow.run_definition_pb2 import Run, RunDetails
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    ListRunsRequest,
    WatchRunsRequest,
)

from controlplane.api.convert import keys
from controlplane.api.convert.actions import render_action, render_action_details
from controlplane.api.convert.applied_settings import (
    apply_settings,
    drop_client_defaults,
    require_within,
)
from controlplane.api.convert.cache_keys import parse_root_cache
from controlplane.api.convert.data import parse_code_bundle, prepare_inputs
from controlplane.api.convert.notifications import parse_notifications
from controlplane.api.convert.relations import normalise, parse_forced, parse_relation
from controlplane.api.convert.specs import parse_run_spec, parse_task_spec
from controlplane.api.convert.strings import parse_text, parse_uri
from controlplane.api.convert.timestamps import parse_timestamp
from controlplane.core import layout, names
from controlplane.core.actions import ActionRow, RunSource, RunTrigger
from controlplane.core.errors import InvalidError
from controlplane.core.profiles import NO_PROFILES, Profiles
from controlplane.core.relations import Relation
from controlplane.core.runs import InputsUpload, NewRun, RunDetail, RunRequest, RunScope
from controlplane.core.scoped_settings import Effective
from controlplane.core.tasks import TaskKey
from shared.model.ids import (
    ROOT,
    ActionKey,
    OrgName,
    RunKey,
    RunName,
)

_NAME_LETTERS = string.digits + string.ascii_lowercase
_NAME_LENGTH = 20
_MAX_LABELS = 64
_MAX_LABEL = 253
_MAX_CONCURRENCY = 1_000_000


def parse_run_key(request: CreateRunRequest) -> RunKey:
    """Parse the run's name, or generate one where only the project is given."""
    if request.WhichOneof("id") == "run_id":
        return keys.parse_run(request.run_id)
    project, domain = keys.parse_project(request.project_id)
    letters = (secrets.choice(_NAME_LETTERS) for _ in range(_NAME_LENGTH - 1))
    return RunKey(project, domain, RunName("r" + "".join(letters)))


def parse_task(request: CreateRunRequest) -> TaskKey | bytes:
    """Parse the task to run: the key of a deployed one, or a serialised TaskSpec."""
    if request.WhichOneof("task") == "task_id":
        return keys.parse_task(request.task_id)
    return bytes(request.task_spec.SerializeToString(deterministic=True))


def require_source_of_callers(request: CreateRunRequest) -> None:
    """Raise InvalidError for a source that only the control plane gives to a run."""
    if request.source == RunSource.TRACKED:
        raise InvalidError(
            "source: TRACKED is of runs that a program runs itself and reports; leave it out, or"
            " create the run by TrackedRunService"
        )
    if request.source in (RunSource.SCHEDULE_TRIGGER, RunSource.ARTIFACT_TRIGGER):
        raise InvalidError(
            f"source: {RunSource(request.source).name} is of runs that the control plane starts;"
            " leave it out"
        )


def parse_run_request(
    request: CreateRunRequest,
    key: RunKey,
    task_spec: bytes,
    effective: Effective,
    *,
    org: OrgName,
    base: str,
    trigger: RunTrigger | None = None,
) -> RunRequest:
    """
    Parse the request for a run of a serialised TaskSpec, and apply its scope's settings.

    ``base`` is the storage prefix below which every org's data lies. ``trigger`` starts the run,
    whose root then is not cached: it would get the outputs of another kickoff time.
    """
    task = TaskSpec.FromString(task_spec)
    relation = parse_relation(request.run_spec, key)
    asked = drop_client_defaults(normalise(request, relation, key))
    applied = apply_settings(asked, effective)
    require_within(task.task_template, effective)
    new = _parse_new_run(request, applied, key, task, relation, org=org, base=base)
    new = replace(new, trigger=trigger)
    if applied is not asked:
        new = replace(new, requested_spec=parse_run_spec(asked).digest)
    code_bundle = parse_code_bundle(task)
    if request.WhichOneof("input_wrapper") == "offloaded_input_data":
        uri = parse_offloaded(request, org, base)
        new = replace(new, input_uri=uri)
        if trigger is None:
            hashed = request.offloaded_input_data.inputs_hash
            new = replace(new, cache=parse_root_cache(task.task_template, hashed))
        return RunRequest(new=new, code_bundle=code_bundle, inputs=None)
    prepared = prepare_inputs(request.inputs, task)
    if trigger is None:
        new = replace(new, cache=parse_root_cache(task.task_template, prepared.hash))
    inputs = InputsUpload(
        project=key.project,
        domain=key.domain,
        body=prepared.body,
        base=applied.run_base_dir,
        artifacts=prepared.artifacts,
    )
    return RunRequest(new=new, code_bundle=code_bundle, inputs=inputs)


def _parse_new_run(
    request: CreateRunRequest,
    settings: RunSpec,
    key: RunKey,
    task: TaskSpec,
    relation: Relation | None,
    *,
    org: OrgName,
    base: str,
) -> NewRun:
    spec, info = parse_task_spec(task)
    return NewRun(
        key=ActionKey(key, ROOT),
        spec=spec,
        run_spec=parse_run_spec(settings),
        info=info,
        input_uri="",
        run_base=layout.run_base(parse_base(settings, org, base), org, key),
        labels=parse_labels(settings.labels.values),
        source=_parse_source(request.source),
        queue=parse_text(settings.queue, "run_spec.queue", most=256),
        raw_data_base=_parse_raw_data_base(settings, org, base),
        max_action_concurrency=_parse_concurrency(settings.max_action_concurrency),
        started_at=_parse_start(request, settings),
        relation=relation,
        forced=parse_forced(settings, relation),
        overwrite_cache=settings.overwrite_cache or settings.cache_config.overwrite_cache,
        is_cache_global=settings.cache_config.cache_lookup_scope
        != CacheLookupScope.CACHE_LOOKUP_SCOPE_PROJECT_DOMAIN,
        notifications=parse_notifications(settings),
    )


def parse_base(settings: RunSpec, org: OrgName, base: str) -> str:
    """
    Parse the storage prefix that the caller requests for the run's data; it must be the org's own.

    The run's name is added to it, because names of actions repeat between runs.
    """
    if not settings.run_base_dir:
        return base
    required = parse_uri(settings.run_base_dir, "run_spec.run_base_dir").rstrip("/")
    _require_org_uri(f"{required}/", org, base, "run_spec.run_base_dir")
    return required


def _parse_raw_data_base(settings: RunSpec, org: OrgName, base: str) -> str:
    """Parse the prefix of files and tables: any but one in another org's part of the store."""
    field = "run_spec.raw_data_storage.raw_data_prefix"
    required = parse_uri(settings.raw_data_storage.raw_data_prefix, field)
    if required and layout.is_of_another_org(base, org, required):
        _refuse_foreign(field, org, base)
    return required


def parse_offloaded(request: CreateRunRequest, org: OrgName, base: str) -> str:
    """Parse the URI of inputs that were uploaded before."""
    uri = parse_uri(request.offloaded_input_data.uri, "offloaded_input_data.uri")
    _require_org_uri(uri, org, base, "offloaded_input_data.uri")
    return uri


def parse_scope(request: ListRunsRequest) -> RunScope:
    match request.WhichOneof("scope_by"):
        case "project_id":
            project, domain = keys.parse_project(request.project_id)
            return RunScope(project=project, domain=domain, paused_only=request.paused_actions_only)
        case "task_name":
            task = keys.parse_task_name(request.task_name)
            return RunScope(
                project=task.project,
                domain=task.domain,
                task_name=task.name,
                paused_only=request.paused_actions_only,
            )
        case "task_id":
            return replace(_scope_of_task(request.task_id), paused_only=request.paused_actions_only)
        case "trigger_name":
            trigger = keys.parse_trigger(request.trigger_name)
            return RunScope(
                project=trigger.project,
                domain=trigger.domain,
                task_name=trigger.task_name,
                trigger_name=trigger.name,
                paused_only=request.paused_actions_only,
            )
        case _:
            return RunScope(paused_only=request.paused_actions_only)


def parse_watch_scope(request: WatchRunsRequest) -> RunScope:
    match request.WhichOneof("target"):
        case "project_id":
            project, domain = keys.parse_project(request.project_id)
            return RunScope(project=project, domain=domain)
        case "task_id":
            return _scope_of_task(request.task_id)
        case "cluster_id":
            return RunScope(cluster=names.parse_cluster(request.cluster_id.name))
        case _:
            return RunScope()


def render_run(row: ActionRow, profiles: Profiles = NO_PROFILES) -> Run:
    return Run(action=render_action(row, profiles), labels=row.labels)


def render_run_details(detail: RunDetail, profiles: Profiles = NO_PROFILES) -> RunDetails:
    """
    Render a run with its RunSpec.

    That of a scheduled run whose task reads the kickoff time has it, so that a rerun repeats it.
    """
    settings = RunSpec.FromString(detail.run_spec)
    trigger = detail.root.row.trigger
    if trigger is not None and not settings.HasField("run_start_time"):
        automation = TriggerAutomationSpec.FromString(trigger.automation)
        if automation.schedule.kickoff_time_input_arg:
            settings.run_start_time.FromDatetime(detail.started_at)
    return RunDetails(run_spec=settings, action=render_action_details(detail.root, profiles))


def _scope_of_task(message: TaskIdentifier) -> RunScope:
    task = keys.parse_task(message)
    return RunScope(
        project=task.project, domain=task.domain, task_name=task.name, task_version=task.version
    )


def _require_org_uri(uri: str, org: OrgName, base: str, field: str) -> None:
    if not layout.belongs_to(base, org, uri):
        _refuse_foreign(field, org, base)


def _refuse_foreign(field: str, org: OrgName, base: str) -> NoReturn:
    raise InvalidError(f"{field}: must lie below {layout.org_base(base, org)}/")


def parse_labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > _MAX_LABELS:
        raise InvalidError(f"run_spec.labels: at most {_MAX_LABELS}, not {len(labels)}")
    return {
        parse_text(key, "run_spec.labels", most=_MAX_LABEL): parse_text(
            value, f"run_spec.labels.{key}", most=_MAX_LABEL
        )
        for key, value in labels.items()
    }


def _parse_source(number: int) -> RunSource:
    try:
        return RunSource(number)
    except ValueError as error:
        raise InvalidError(f"source: {number} is not known") from error


def _parse_concurrency(required: int) -> int:
    if required > _MAX_CONCURRENCY:
        raise InvalidError(f"run_spec.max_action_concurrency: at most {_MAX_CONCURRENCY}")
    return required


def _parse_start(request: CreateRunRequest, settings: RunSpec) -> datetime | None:
    if request.HasField("run_start_time"):
        return parse_timestamp(request.run_start_time, "run_start_time")
    if settings.HasField("run_start_time"):
        return parse_timestamp(settings.run_start_time, "run_spec.run_start_time")
    return None
