"""Answers an action's inputs and outputs as plain JSON values, by the types of its interface."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from flyteidl2.core.interface_pb2 import VariableEntry
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest
from flyteidl2.task.common_pb2 import NamedLiteral
from flyteidl2.workflow.run_service_pb2 import GetActionDetailsRequest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue

from controlplane.api.convert.launch_forms import render_values
from controlplane.api.server import Bound
from controlplane.api.translator import MAX_BYTES
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotAllowedError


def reading_values(bound: Mapping[str, Bound]) -> Callable[[Caller, Any], Awaitable[Message]]:
    """Return the method that answers the JSON of an action's data."""

    async def read(caller: Caller, request: GetActionDataRequest) -> Message:
        if caller.attempt is not None:
            raise NotAllowedError("tasks read data by GetActionData, as literals")
        found: Any = await bound["flyteidl2.workflow.RunService/GetActionDetails"].function(
            caller, GetActionDetailsRequest(action_id=request.action_id)
        )
        data: Any = await bound["flyteidl2.dataproxy.DataProxyService/GetActionData"].function(
            caller, request
        )
        if data.ByteSize() > MAX_BYTES:
            raise InvalidError(
                f"values: the data has {data.ByteSize()} bytes, and at most {MAX_BYTES} are answered"
                " as values; read literals, without values=true"
            )
        interface = _interface(found.details)
        text = await asyncio.to_thread(
            _render,
            interface.inputs.variables,
            data.inputs.literals,
            interface.outputs.variables,
            data.outputs.literals,
        )
        return BytesValue(value=text)

    return read


def _interface(details: Any) -> Any:
    return (
        details.trace.interface
        if details.HasField("trace")
        else details.task.task_template.interface
    )


def _render(
    inputs: Sequence[VariableEntry],
    given: Sequence[NamedLiteral],
    outputs: Sequence[VariableEntry],
    made: Sequence[NamedLiteral],
) -> bytes:
    found = {"inputs": render_values(inputs, given), "outputs": render_values(outputs, made)}
    return json.dumps(found, ensure_ascii=False).encode()
