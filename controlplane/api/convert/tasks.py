"""Converts deployed tasks to flyteidl2's messages and back."""

from dataclasses import replace

from flyteidl2.task.common_pb2 import TriggerAutomationSpec
from flyteidl2.task.task_definition_pb2 import (
    LatestRunSummary,
    Task,
    TaskDetails,
    TaskMetadata,
    TaskSpec,
    TaskTriggersSummary,
)
from flyteidl2.task.task_service_pb2 import (
    DeployTaskRequest,
    ListTasksRequest,
    ListVersionsResponse,
)

from controlplane.api.convert import keys
from controlplane.api.convert.identities import render_identity
from controlplane.api.convert.specs import parse_task_spec
from controlplane.api.convert.strings import parse_text
from controlplane.core.profiles import Profiles
from controlplane.core.tasks import (
    LatestRun,
    NewTask,
    TaskDetail,
    TaskKey,
    TaskRow,
    TaskScope,
    TriggersSummary,
)
from shared.model.ids import OrgName, RunKey


def parse_deploy(request: DeployTaskRequest) -> NewTask:
    spec, info = parse_task_spec(request.spec)
    return NewTask(
        key=keys.parse_task(request.task_id),
        spec=spec,
        info=info,
        description=parse_text(
            request.spec.documentation.short_description, "spec.documentation.short_description"
        ),
        is_entrypoint=request.spec.task_template.metadata.is_entrypoint,
    )


def parse_scope(request: ListTasksRequest) -> TaskScope:
    scope = TaskScope()
    if request.WhichOneof("scope_by") == "project_id":
        project, domain = keys.parse_project(request.project_id)
        scope = TaskScope(project=project, domain=domain)
    for known in request.known_filters:
        if known.WhichOneof("filter_by") == "deployed_by":
            by = parse_text(known.deployed_by, "known_filters.deployed_by")
            scope = replace(scope, deployed_by=by)
        else:
            scope = replace(scope, is_entrypoint=known.is_entrypoint)
    return scope


def render_task(org: OrgName, row: TaskRow, profiles: Profiles) -> Task:
    task = Task(task_id=keys.render_task(org, row.key), metadata=_render_metadata(row, profiles))
    if row.latest_run is not None:
        task.task_summary.latest_run.CopyFrom(_render_latest_run(org, row.key, row.latest_run))
    return task


def render_task_details(org: OrgName, detail: TaskDetail) -> TaskDetails:
    return TaskDetails(
        task_id=keys.render_task(org, detail.row.key),
        metadata=_render_metadata(detail.row, detail.profiles),
        spec=TaskSpec.FromString(detail.spec),
    )


def render_version(
    org: OrgName, row: TaskRow, profiles: Profiles
) -> ListVersionsResponse.VersionResponse:
    return ListVersionsResponse.VersionResponse(
        version=row.key.version,
        deployed_at=row.deployed_at,
        deployed_by=render_identity(row.deployed_by, profiles),
        latest_run=None
        if row.latest_run is None
        else _render_latest_run(org, row.key, row.latest_run),
    )


def _render_latest_run(org: OrgName, task: TaskKey, run: LatestRun) -> LatestRunSummary:
    return LatestRunSummary(
        run_id=keys.render_run(org, RunKey(task.project, task.domain, run.run)),
        run_time=run.created_at,
        phase=run.phase.value,
        root_task_name=task.name,
    )


def _render_triggers(summary: TriggersSummary | None) -> TaskTriggersSummary | None:
    """Render a task's triggers: one with its automation, several as numbers."""
    if summary is None:
        return None
    if summary.total > 1:
        return TaskTriggersSummary(
            stats=TaskTriggersSummary.TriggerStats(total=summary.total, active=summary.active)
        )
    return TaskTriggersSummary(
        details=TaskTriggersSummary.TriggerDetails(
            name=summary.name,
            active=summary.active == 1,
            automation_spec=TriggerAutomationSpec.FromString(summary.automation),
        )
    )


def _render_metadata(row: TaskRow, profiles: Profiles) -> TaskMetadata:
    return TaskMetadata(
        deployed_by=render_identity(row.deployed_by, profiles),
        deployed_at=row.deployed_at,
        short_name=row.short_name,
        environment_name=row.environment,
        short_description=row.description,
        triggers_summary=_render_triggers(row.triggers),
    )
