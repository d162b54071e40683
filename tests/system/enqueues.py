"""Runs and actions made by hand, as the SDK makes them from within a task."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flyteidl2.actions.actions_service_pb2 import Action, EnqueueRequest
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.core.interface_pb2 import Variable, VariableEntry, VariableMap
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec
from flyteidl2.workflow.run_definition_pb2 import TaskAction
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest

from tests.system.api_client import PROJECT_ID, ApiClient
from tests.system.values import Value, make_inputs


def sleep_spec(name: str = "sleep", *, asks_how_long: bool = False) -> TaskSpec:
    """Return a task that needs no process; one that does not ask sleeps for nothing."""
    seconds = Variable(type=LiteralType(simple=SimpleType.FLOAT))
    variables = [VariableEntry(key="seconds", value=seconds)] if asks_how_long else []
    spec = TaskSpec(short_name=name)
    template = spec.task_template
    template.type = "core-sleep"
    template.id.project, template.id.domain = PROJECT_ID.name, PROJECT_ID.domain
    template.id.name, template.id.version = f"system.{name}", "1"
    template.interface.inputs.CopyFrom(VariableMap(variables=variables))
    return spec


@asynccontextmanager
async def running_parent(api: ApiClient) -> AsyncIterator[ActionIdentifier]:
    """Have a task running for the length of a block, for which others are enqueued."""
    root = await api.start(sleep_spec("parent", asks_how_long=True), seconds=3600.0)
    await api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)
    try:
        yield root
    finally:
        await api.runs.abort_run(AbortRunRequest(run_id=root.run))


async def make_action(
    api: ApiClient, parent: ActionIdentifier, name: str, spec: TaskSpec, /, **inputs: Value
) -> Action:
    """Put the inputs where they belong, and return the action that would take them."""
    uploaded = await api.data.upload_inputs(
        UploadInputsRequest(project_id=PROJECT_ID, task_spec=spec, inputs=make_inputs(inputs))
    )
    task = spec.task_template.id
    return Action(
        action_id=ActionIdentifier(run=parent.run, name=name),
        parent_action_name=parent.name,
        input_uri=uploaded.offloaded_input_data.uri,
        run_output_base="unused",
        task=TaskAction(
            id=TaskIdentifier(
                project=task.project, domain=task.domain, name=task.name, version=task.version
            ),
            spec=spec,
        ),
    )


async def enqueue(api: ApiClient, action: Action) -> ActionIdentifier:
    await api.actions.enqueue(EnqueueRequest(action=action))
    return action.action_id
