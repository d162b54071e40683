"""TranslatorService: inputs of tasks as JSON forms and values, and back."""

import asyncio
from collections.abc import Sequence

from flyteidl2.task.common_pb2 import Inputs, NamedLiteral
from flyteidl2.workflow.translator_service_pb2 import (
    JsonValuesToLiteralsRequest,
    JsonValuesToLiteralsResponse,
    LaunchFormJsonToLiteralsRequest,
    LaunchFormJsonToLiteralsResponse,
    LiteralsToLaunchFormJsonRequest,
    LiteralsToLaunchFormJsonResponse,
    TaskSpecToLaunchFormJsonRequest,
    TaskSpecToLaunchFormJsonResponse,
)
from google.protobuf.message import DecodeError, Message

from controlplane.api.convert import keys, launch_forms
from controlplane.api.convert.strings import parse_uri
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotReadyError, UnbuiltError
from controlplane.usecases.data import Data

MAX_BYTES = 256 * 1024
"""Most bytes that one call converts, in up to half a second of CPU, on a thread."""


class TranslatorService:
    def __init__(self, data: Data) -> None:
        self._data = data

    async def literals_to_launch_form_json(
        self, caller: Caller, request: LiteralsToLaunchFormJsonRequest
    ) -> LiteralsToLaunchFormJsonResponse:
        _require_size(request, "the request")
        literals: Sequence[NamedLiteral] = request.literals
        if request.literals_uri:
            if literals:
                raise InvalidError("literals_uri: send either literals or the URI of some")
            literals = await self._read(caller, request)
        return LiteralsToLaunchFormJsonResponse(
            json=await asyncio.to_thread(launch_forms.make_form, request.variables, literals)
        )

    async def launch_form_json_to_literals(
        self, _caller: Caller, request: LaunchFormJsonToLiteralsRequest
    ) -> LaunchFormJsonToLiteralsResponse:
        _require_size(request, "the request")
        literals = await asyncio.to_thread(launch_forms.read_form, request.json)
        return LaunchFormJsonToLiteralsResponse(literals=literals)

    async def task_spec_to_launch_form_json(
        self, _caller: Caller, request: TaskSpecToLaunchFormJsonRequest
    ) -> TaskSpecToLaunchFormJsonResponse:
        _require_size(request, "the request")
        return TaskSpecToLaunchFormJsonResponse(
            json=await asyncio.to_thread(launch_forms.make_form_of_task, request.task_spec)
        )

    async def json_values_to_literals(
        self, _caller: Caller, request: JsonValuesToLiteralsRequest
    ) -> JsonValuesToLiteralsResponse:
        _require_size(request, "the request")
        literals = await asyncio.to_thread(
            launch_forms.convert_values, request.variables, request.values
        )
        return JsonValuesToLiteralsResponse(literals=literals)

    async def _read(
        self, caller: Caller, request: LiteralsToLaunchFormJsonRequest
    ) -> Sequence[NamedLiteral]:
        """Read the inputs of an action that the caller may read; no other URI is read."""
        match request.WhichOneof("owner"):
            case "action_id":
                key = keys.parse_action(request.action_id)
            case "trigger_id":
                raise UnbuiltError("literals_uri of a trigger is not read by this release")
            case _:
                raise InvalidError("action_id: is missing; name the action whose inputs these are")
        uri = parse_uri(request.literals_uri, "literals_uri")
        body = await self._data.read_inputs(caller, key, uri)
        try:
            inputs = Inputs.FromString(body)
        except DecodeError as error:
            raise NotReadyError(f"the inputs of action {key} are damaged: {error}") from error
        _require_size(inputs, f"the inputs of action {key}")
        literals: Sequence[NamedLiteral] = inputs.literals
        return literals


def _require_size(message: Message, what: str) -> None:
    if message.ByteSize() > MAX_BYTES:
        raise InvalidError(
            f"{what}: has {message.ByteSize()} bytes, and forms are made of at most {MAX_BYTES};"
            " start the run with the SDK"
        )
