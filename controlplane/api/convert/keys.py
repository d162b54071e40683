"""Converts flyteidl2's identifiers to keys and back; orgs are the caller's, filled in before."""

from functools import lru_cache

from flyteidl2.common.identifier_pb2 import (
    ActionIdentifier,
    ProjectIdentifier,
    RunIdentifier,
    TriggerName,
)
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskName

from controlplane.api.convert.strings import parse_text
from controlplane.core import names
from controlplane.core.actions import TaskInfo
from controlplane.core.errors import InvalidError
from controlplane.core.tasks import TaskKey, TaskScope
from controlplane.core.triggers import TriggerKey
from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)


def parse_run(message: RunIdentifier) -> RunKey:
    return _run(message.project, message.domain, message.name)


def parse_action(message: ActionIdentifier) -> ActionKey:
    return ActionKey(parse_run(message.run), names.parse_action(message.name))


def parse_parent(name: str) -> ActionName | None:
    return names.parse_action(name) if name else None


def parse_project(message: ProjectIdentifier) -> tuple[ProjectName, DomainName]:
    return names.parse_project(message.name), names.parse_domain(message.domain)


def parse_task(message: TaskIdentifier) -> TaskKey:
    return TaskKey(
        names.parse_project(message.project),
        names.parse_domain(message.domain),
        parse_text(message.name, "task_id.name", most=255),
        parse_text(message.version, "task_id.version", most=63),
    )


def parse_task_name(message: TaskName) -> TaskScope:
    return TaskScope(
        project=names.parse_project(message.project),
        domain=names.parse_domain(message.domain),
        name=parse_text(message.name, "task_name.name", most=255),
    )


def parse_trigger(message: TriggerName) -> TriggerKey:
    return TriggerKey(
        names.parse_project(message.project),
        names.parse_domain(message.domain),
        parse_trigger_part(message.task_name, "task_name"),
        parse_trigger_part(message.name, "name"),
    )


def parse_trigger_part(name: str, field: str) -> str:
    if not name:
        raise InvalidError(f"{field}: a trigger is named by project, domain, task and name")
    return parse_text(name, field, most=255)


def render_trigger(org: OrgName, trigger: TriggerKey) -> TriggerName:
    return TriggerName(
        org=org,
        project=trigger.project,
        domain=trigger.domain,
        task_name=trigger.task_name,
        name=trigger.name,
    )


def render_run(org: OrgName, run: RunKey) -> RunIdentifier:
    return RunIdentifier(org=org, project=run.project, domain=run.domain, name=run.name)


def render_action(org: OrgName, action: ActionKey) -> ActionIdentifier:
    return ActionIdentifier(run=render_run(org, action.run), name=action.name)


def render_task(org: OrgName, task: TaskKey) -> TaskIdentifier:
    return TaskIdentifier(
        org=org, project=task.project, domain=task.domain, name=task.name, version=task.version
    )


def render_task_of(info: TaskInfo) -> TaskIdentifier:
    return TaskIdentifier(
        org=info.org,
        project=info.project,
        domain=info.domain,
        name=info.name,
        version=info.version,
    )


@lru_cache(maxsize=4096)  # cached: a run enqueues thousands of actions
def _run(project: str, domain: str, name: str) -> RunKey:
    return RunKey(
        names.parse_project(project), names.parse_domain(domain), RunName(names.parse_run(name))
    )
