"""
Routes that start a task with inputs as plain JSON values.

A client of CreateRun reads the task's interface and sends literals; here the same RPCs are called for it, as the
same caller.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from flyteidl2.core.interface_pb2 import VariableMap
from flyteidl2.task.task_service_pb2 import GetTaskDetailsRequest
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest
from flyteidl2.workflow.translator_service_pb2 import JsonValuesToLiteralsRequest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from controlplane.api.resources.route import OF_TASK, Header, Route
from controlplane.api.server import Bound
from controlplane.api.validation import validate
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotAllowedError

_RUN = "flyteidl2.workflow.RunService"
_EXACT = 2**53  # the whole numbers that a Struct holds
_TASK_ID = {
    "project": "task_id.project",
    "domain": "task_id.domain",
    "task": "task_id.name",
    "version": "task_id.version",
}

LAUNCHES: Sequence[Route] = (
    Route(
        method="POST",
        path=OF_TASK + "/versions/{version}:run",
        rpc=f"{_RUN}/CreateRun",
        about="Start the run of this name of a task, with the inputs in the body, once however often it is sent.",
        fills=_TASK_ID,
        also={"project": "run_id.project", "domain": "run_id.domain"},
        header=Header("idempotency-key", "run_id.name"),
        takes_values=True,
        answer="run",
        is_create=True,
    ),
    Route(
        method="POST",
        path=OF_TASK + "/versions/{version}:run",
        rpc=f"{_RUN}/CreateRun",
        about="Start a run of a task, with the inputs in the body.",
        fills=_TASK_ID,
        also={"project": "project_id.name", "domain": "project_id.domain"},
        takes_values=True,
        answer="run",
        is_create=True,
    ),
)


def launching(
    bound: Mapping[str, Bound], body: bytes
) -> Callable[[Caller, Any], Awaitable[Message]]:
    """Return the method that creates a run of its request's task, with the values in ``body``."""

    async def create(caller: Caller, request: CreateRunRequest) -> Message:
        if caller.attempt is not None:
            raise NotAllowedError("tasks start runs by CreateRun, with literals")
        values = _parse(body)
        found: Any = await bound["flyteidl2.task.TaskService/GetTaskDetails"].function(
            caller, GetTaskDetailsRequest(task_id=request.task_id)
        )
        spec = found.details.spec
        declared = spec.task_template.interface.inputs.variables
        names = [each.key for each in declared]
        if unknown := [name for name in values if name not in names]:
            raise InvalidError(
                f"{unknown[0]}: is no input of the task; there are {', '.join(names) or 'none'}"
            )
        optional = {each.name for each in spec.default_inputs if each.parameter.HasField("default")}
        needed = [each for each in declared if each.key in values or each.key not in optional]
        converted: Any = await bound[
            "flyteidl2.workflow.TranslatorService/JsonValuesToLiterals"
        ].function(
            caller,
            JsonValuesToLiteralsRequest(variables=VariableMap(variables=needed), values=values),
        )
        request.inputs.literals.extend(converted.literals)
        validate(request)
        made: Message = await bound[f"{_RUN}/CreateRun"].function(caller, request)
        return made

    return create


def _parse(body: bytes) -> Struct:
    try:
        found = json.loads(body or b"{}", parse_int=_parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidError("the body is not a JSON object; send {} for a task without inputs")
    values = Struct()
    values.update(found)
    return values


def _parse_int(text: str) -> int | str:
    """Keep a whole number that a Struct would round as text, which inputs take as well."""
    return text if len(text) > len(str(_EXACT)) or abs(int(text)) > _EXACT else int(text)


def _refuse_constant(text: str) -> float:
    raise ValueError(text)
