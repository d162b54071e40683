"""
Calls of services in this process, as JSON: what the API answers, without a replica that serves it.

The caller is authorised by the use cases; requests are checked as those over HTTP are.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.api.orgs import fill_org
from controlplane.api.server import services as list_services, snake_case
from controlplane.api.validation import validate
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError


class LocalCalls:
    """Calls ``services`` (by their full names) for one caller."""

    def __init__(self, services: Mapping[str, object], caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._methods: Mapping[str, MethodDescriptor] = {
            f"{service.full_name}/{method.name}": method
            for service in list_services()
            if service.full_name in services
            for method in service.methods
        }

    async def call(self, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call a unary method, ``package.Service/Method``; raises what the use case does."""
        method = self._methods[name]
        answer = await self._function(method)(self._caller, self._parse(method, request))
        return _render(answer)

    async def stream(
        self, name: str, request: Mapping[str, Any]
    ) -> AsyncIterator[Mapping[str, Any]]:
        method = self._methods[name]
        async for answer in self._function(method)(self._caller, self._parse(method, request)):
            yield _render(answer)

    def _function(self, method: MethodDescriptor) -> Any:
        service = self._services[method.containing_service.full_name]
        return getattr(service, snake_case(method.name))

    def _parse(self, method: MethodDescriptor, request: Mapping[str, Any]) -> Message:
        message: Message = GetMessageClass(method.input_type)()
        try:
            ParseDict(dict(request), message)
        except ParseError as error:
            raise InvalidError(str(error)) from error
        fill_org(message, self._caller.org)
        validate(message)
        return message


def _render(message: Message) -> Mapping[str, Any]:
    rendered: Mapping[str, Any] = MessageToDict(message)
    return rendered
