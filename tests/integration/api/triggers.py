"""Requests about triggers, valid by default."""

from typing import Any

from flyteidl2.common.identifier_pb2 import TriggerIdentifier, TriggerName
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.task.common_pb2 import (
    Cron,
    Inputs,
    NamedLiteral,
    Schedule,
    TriggerAutomationSpec,
    TriggerAutomationSpecType,
)
from flyteidl2.task.task_definition_pb2 import TaskSpec, TaskTrigger, TaskTriggerSpec
from flyteidl2.task.task_service_pb2 import DeployTaskRequest
from flyteidl2.trigger.trigger_definition_pb2 import TriggerDetails, TriggerSpec
from flyteidl2.trigger.trigger_service_pb2 import (
    DeployTriggerRequest,
    GetTriggerDetailsRequest,
    GetTriggerRevisionHistoryRequest,
)

from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import task_id, task_spec

NONE = TriggerAutomationSpec(type=TriggerAutomationSpecType.TYPE_NONE)


def cron(
    expression: str = "* * * * *", timezone: str = "UTC", *, kickoff: str = ""
) -> TriggerAutomationSpec:
    return TriggerAutomationSpec(
        type=TriggerAutomationSpecType.TYPE_SCHEDULE,
        schedule=Schedule(
            cron=Cron(expression=expression, timezone=timezone), kickoff_time_input_arg=kickoff
        ),
    )


def rate(value: int, unit: int = 1, **start: Any) -> TriggerAutomationSpec:
    automation = TriggerAutomationSpec(type=TriggerAutomationSpecType.TYPE_SCHEDULE)
    automation.schedule.rate.value, automation.schedule.rate.unit = value, unit
    if start:
        automation.schedule.rate.start_time.FromDatetime(start["start"])
    return automation


def scheduled_spec(version: str = "v1", *, name: str = "env.main") -> TaskSpec:
    """Return a task with the inputs ``x`` (an integer) and ``when`` (a datetime)."""
    spec = task_spec(name, version=version)
    variables = spec.task_template.interface.inputs.variables
    for key, kind in (("x", SimpleType.INTEGER), ("when", SimpleType.DATETIME)):
        variables.add(key=key).value.type.simple = kind
    spec.task_template.container.args.extend(["--run-start-time", "{{.runStartTime}}"])
    return spec


def inputs(**values: int) -> Inputs:
    given = Inputs()
    for name, value in values.items():
        literal = Literal()
        literal.scalar.primitive.integer = value
        given.literals.append(NamedLiteral(name=name, value=literal))
    return given


def deploy_scheduled(
    *triggers: TaskTrigger, version: str = "v1", name: str = "env.main"
) -> DeployTaskRequest:
    return DeployTaskRequest(
        task_id=task_id(name, version),
        spec=scheduled_spec(version, name=name),
        triggers=triggers,
    )


def of_task(
    name: str = "nightly",
    automation: TriggerAutomationSpec | None = None,
    *,
    active: bool = True,
    x: int = 3,
) -> TaskTrigger:
    return TaskTrigger(
        name=name,
        spec=TaskTriggerSpec(active=active, inputs=inputs(x=x)),
        automation_spec=automation or cron(kickoff="when"),
    )


def trigger_name(name: str = "nightly", *, task: str = "env.main") -> TriggerName:
    return TriggerName(project=PROJECT, domain=DOMAIN, task_name=task, name=name)


def trigger_id(revision: int = 1, name: str = "nightly") -> TriggerIdentifier:
    return TriggerIdentifier(name=trigger_name(name), revision=revision)


def deploy_trigger(
    name: str = "nightly",
    automation: TriggerAutomationSpec | None = None,
    *,
    revision: int = 0,
    version: str = "v1",
    task: str = "env.main",
    active: bool = True,
    given: Inputs | None = None,
) -> DeployTriggerRequest:
    return DeployTriggerRequest(
        name=trigger_name(name, task=task),
        revision=revision,
        spec=TriggerSpec(
            inputs=inputs(x=3) if given is None else given, active=active, task_version=version
        ),
        automation_spec=automation or cron(kickoff="when"),
    )


def plain_trigger(name: str = "nightly", **fields: Any) -> DeployTriggerRequest:
    """Return a trigger of a task without inputs."""
    return deploy_trigger(name, cron(), given=Inputs(), **fields)


async def details(api: ApiUnderTest, name: str = "nightly") -> TriggerDetails:
    request = GetTriggerDetailsRequest(name=trigger_name(name))
    return (await api.triggers.get_trigger_details(request)).trigger


async def history(api: ApiUnderTest, name: str = "nightly") -> list[tuple[int, int]]:
    """Return a trigger's revisions with their actions, the newest first."""
    request = GetTriggerRevisionHistoryRequest(name=trigger_name(name))
    found = await api.triggers.get_trigger_revision_history(request)
    return [(each.id.revision, each.action) for each in found.triggers]
