"""Requests as the SDK makes them: valid by default, override what matters."""

from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_pb2 import Action, EnqueueRequest
from flyteidl2.common.identifier_pb2 import ActionIdentifier, ProjectIdentifier, RunIdentifier
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec
from flyteidl2.task.task_service_pb2 import DeployTaskRequest
from flyteidl2.workflow.run_definition_pb2 import ConditionAction, TaskAction, TraceAction
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest


def project_id() -> ProjectIdentifier:
    return ProjectIdentifier(name=PROJECT, domain=DOMAIN)


def run_id(name: str = "r1") -> RunIdentifier:
    return RunIdentifier(project=PROJECT, domain=DOMAIN, name=name)


def action_id(name: str = "a0", *, run: str = "r1") -> ActionIdentifier:
    return ActionIdentifier(run=run_id(run), name=name)


def task_spec(name: str = "env.main", *, version: str = "v1", retries: int = 0) -> TaskSpec:
    spec = TaskSpec(short_name=name.rpartition(".")[2])
    spec.environment.name = "env"
    template = spec.task_template
    template.id.project, template.id.domain = PROJECT, DOMAIN
    template.id.name, template.id.version = name, version
    template.type = "python"
    template.metadata.retries.retries = retries
    template.container.image = "image"
    template.container.args.extend(["a0", "--inputs", "{{.input}}"])
    return spec


def task_id(name: str = "env.main", version: str = "v1") -> TaskIdentifier:
    return TaskIdentifier(project=PROJECT, domain=DOMAIN, name=name, version=version)


def deploy(name: str = "env.main", version: str = "v1", **spec: Any) -> DeployTaskRequest:
    return DeployTaskRequest(
        task_id=task_id(name, version), spec=task_spec(name, version=version, **spec)
    )


def create_run(name: str = "r1", **fields: Any) -> CreateRunRequest:
    wanted: dict[str, Any] = {"run_id": run_id(name), "task_spec": task_spec()}
    return CreateRunRequest(**(wanted | fields))


def enqueue(
    api: ApiUnderTest,
    name: str,
    *,
    parent: str = "a0",
    run: str = "r1",
    spec: TaskSpec | None = None,
    group: str = "",
) -> EnqueueRequest:
    run_base = f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/{run}"
    return EnqueueRequest(
        action=Action(
            action_id=action_id(name, run=run),
            parent_action_name=parent,
            input_uri=f"{run_base}/{name}/inputs.pb",
            run_output_base=run_base,
            group=group,
            task=TaskAction(id=task_id("env.child"), spec=spec or task_spec("env.child")),
        )
    )


def enqueue_trace(name: str, *, phase: int, output_uri: str) -> EnqueueRequest:
    trace = TraceAction(
        name="add",
        phase=phase,
        start_time=Timestamp(seconds=1000),
        end_time=Timestamp(seconds=1002),
    )
    trace.outputs.output_uri = output_uri
    trace.spec.interface.SetInParent()
    return EnqueueRequest(
        action=Action(
            action_id=action_id(name),
            parent_action_name="a0",
            input_uri="placeholder",
            run_output_base="file:///blobs/r1",
            trace=trace,
        )
    )


def enqueue_condition(name: str, kind: SimpleType.ValueType = SimpleType.BOOLEAN) -> EnqueueRequest:
    return EnqueueRequest(
        action=Action(
            action_id=action_id(name),
            parent_action_name="a0",
            input_uri="placeholder",
            run_output_base="file:///blobs/r1",
            condition=ConditionAction(name="approve", type=LiteralType(simple=kind), prompt="ok?"),
        )
    )


async def refusal(call: Any) -> tuple[Code, str]:
    """Await a call that must be refused; return the code and the sentence."""
    try:
        answer: Message = await call
    except ConnectError as error:
        return error.code, error.message
    raise AssertionError(f"it was not refused: {answer}")
