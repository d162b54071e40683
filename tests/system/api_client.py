"""Client of the public API by flyteidl2's own stubs, with helpers for common calls."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence

import httpx
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions.actions_service_connect import ActionsServiceClient
from flyteidl2.auth.identity_connect import IdentityServiceClient
from flyteidl2.cluster.service_connect import ClusterServiceClient
from flyteidl2.common.identifier_pb2 import (
    ActionAttemptIdentifier,
    ActionIdentifier,
    ProjectIdentifier,
    RunIdentifier,
)
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClient
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    CreateUploadLocationRequest,
    GetActionDataRequest,
    TailLogsRequest,
    UploadInputsRequest,
)
from flyteidl2.project.project_service_connect import ProjectServiceClient
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec
from flyteidl2.task.task_service_connect import TaskServiceClient
from flyteidl2.task.task_service_pb2 import GetTaskDetailsRequest, ListTasksRequest
from flyteidl2.workflow.queue_service_connect import QueueServiceClient
from flyteidl2.workflow.run_definition_pb2 import Action, ActionDetails
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    GetActionDetailsRequest,
    ListActionsRequest,
    WatchActionDetailsRequest,
)
from flyteidl2.workflow.state_service_connect import StateServiceClient

from tests.system.commands import DOMAIN, PROJECT
from tests.system.values import Value, from_literals, make_inputs

FAILED = frozenset(
    [
        ActionPhase.ACTION_PHASE_FAILED,
        ActionPhase.ACTION_PHASE_ABORTED,
        ActionPhase.ACTION_PHASE_TIMED_OUT,
    ]
)
TERMINAL = FAILED | {ActionPhase.ACTION_PHASE_SUCCEEDED, ActionPhase.ACTION_PHASE_RECOVERED}
_WITHIN_MS = 60_000


class ApiClient:
    """Clients of every service, and a caller who knows what to ask them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.actions = ActionsServiceClient(url)
        self.clusters = ClusterServiceClient(url)
        self.data = DataProxyServiceClient(url)
        self.identity = IdentityServiceClient(url)
        self.projects = ProjectServiceClient(url)
        self.queue = QueueServiceClient(url)
        self.runs = RunServiceClient(url)
        self.state = StateServiceClient(url)
        self.tasks = TaskServiceClient(url)

    async def task(self, name: str) -> TaskIdentifier:
        """Name the latest version of a deployed task."""
        listed = await self.tasks.list_tasks(
            ListTasksRequest(
                project_id=PROJECT_ID,
                request=ListRequest(
                    limit=1,
                    filters=[Filter(function=Filter.EQUAL, field="name", values=[name])],
                ),
            )
        )
        assert listed.tasks, f"{name} is not deployed"
        return listed.tasks[0].task_id

    async def spec(self, name: str) -> TaskSpec:
        """Return the spec of a deployed task, to change it and run that."""
        details = await self.tasks.get_task_details(
            GetTaskDetailsRequest(task_id=await self.task(name))
        )
        return details.details.spec

    async def start(
        self, task: str | TaskSpec, *, run_spec: RunSpec | None = None, **inputs: Value
    ) -> ActionIdentifier:
        """Start a run of a deployed task, or of a spec; name its root action."""
        what = {"task_id": await self.task(task)} if isinstance(task, str) else {"task_spec": task}
        uploaded = await self.data.upload_inputs(
            UploadInputsRequest(project_id=PROJECT_ID, inputs=make_inputs(inputs), **what)
        )
        created = await self.runs.create_run(
            CreateRunRequest(
                project_id=PROJECT_ID,
                offloaded_input_data=uploaded.offloaded_input_data,
                run_spec=run_spec,
                **what,
            )
        )
        return created.run.action.id

    async def details(self, action: ActionIdentifier) -> ActionDetails:
        answer = await self.runs.get_action_details(GetActionDetailsRequest(action_id=action))
        return answer.details

    async def phase(
        self,
        action: ActionIdentifier,
        *wanted: "ActionPhase.ValueType",
        within_ms: int = _WITHIN_MS,
    ) -> ActionDetails:
        """Wait until an action is in one of these phases; fail if it ends in another."""
        async for answer in self.runs.watch_action_details(
            WatchActionDetailsRequest(action_id=action), timeout_ms=within_ms
        ):
            details = answer.details
            if details.status.phase in wanted:
                return details
            assert details.status.phase not in TERMINAL, f"it ended otherwise: {details}"
        raise AssertionError("the watch ended before the action did")

    async def ended(self, action: ActionIdentifier) -> ActionDetails:
        """Wait until an action has ended, however it did."""
        return await self.phase(action, *TERMINAL)

    async def finish(
        self, task: str | TaskSpec, *, run_spec: RunSpec | None = None, **inputs: Value
    ) -> ActionDetails:
        """Start a run, and wait until it has ended."""
        return await self.ended(await self.start(task, run_spec=run_spec, **inputs))

    async def outputs(self, action: ActionIdentifier) -> list[Value]:
        """Return the outputs of an action; AssertionError with its error if it has failed."""
        details = await self.details(action)
        assert details.status.phase not in FAILED, f"there are no outputs: {details}"
        data = await self.data.get_action_data(GetActionDataRequest(action_id=action))
        return from_literals(data.outputs.literals)

    async def result(self, action: ActionIdentifier) -> list[Value]:
        """Wait until an action has succeeded, and return its outputs."""
        await self.phase(action, ActionPhase.ACTION_PHASE_SUCCEEDED)
        return await self.outputs(action)

    async def children(self, root: ActionIdentifier) -> Sequence[Action]:
        """List the actions of a run but its root, in the order in which they came."""
        listed = await self.runs.list_actions(
            ListActionsRequest(run_id=root.run, request=ListRequest(limit=200))
        )
        return [action for action in listed.actions if action.id.name != root.name]

    async def upload(self, body: bytes, filename: str) -> str:
        """Upload a file as the SDK does; return how tasks will find it."""
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        location = await self.data.create_upload_location(
            CreateUploadLocationRequest(
                project=PROJECT, domain=DOMAIN, content_md5=md5, filename=filename
            )
        )
        headers = {"Content-MD5": b64encode(md5).decode(), **location.headers}
        async with httpx.AsyncClient() as http:
            answer = await http.put(location.signed_url, content=body, headers=headers)
        answer.raise_for_status()
        return str(location.native_url)

    async def tail(self, action: ActionIdentifier, *, attempt: int = 1) -> AsyncGenerator[str]:
        """Yield the lines of an attempt's log, from its first to its last."""
        async for answer in self.data.tail_logs(
            TailLogsRequest(action_id=action, attempt=attempt), timeout_ms=_WITHIN_MS
        ):
            for logs in answer.logs:
                for line in logs.lines:
                    yield line.message

    async def log(self, action: ActionIdentifier, *, attempt: int = 1) -> str:
        """Return the whole log of an attempt that has ended."""
        return "".join([line async for line in self.tail(action, attempt=attempt)])


PROJECT_ID = ProjectIdentifier(name=PROJECT, domain=DOMAIN)


def run_id(name: str) -> RunIdentifier:
    return RunIdentifier(project=PROJECT, domain=DOMAIN, name=name)


def action_id(run: str, name: str = "a0") -> ActionIdentifier:
    return ActionIdentifier(run=run_id(run), name=name)


def attempt_id(action: ActionIdentifier, attempt: int = 1) -> ActionAttemptIdentifier:
    return ActionAttemptIdentifier(action_id=action, attempt=attempt)


async def refusal(call: object) -> tuple[Code, str]:
    """Await a call that must be refused; return the code and the sentence."""
    try:
        answer = await call  # type: ignore[misc]
    except ConnectError as error:
        return error.code, error.message
    raise AssertionError(f"it was not refused: {answer}")
