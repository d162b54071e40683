"""
Serves flyteidl2's services and Volary's own in one ASGI application, built from their descriptors.

A method that a service class here does not have, and a service that has no class, answer
UNIMPLEMENTED with a message. flyteidl2's generated applications do the same work, but take
neither a codec nor one table for all services: see DECISIONS.md.
"""

import asyncio
import importlib
import json
import logging
import pkgutil
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

import flyteidl2
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.api import headers
from controlplane.api.compressed_streams import compress_stream
from controlplane.api.headers import BadHeaderError, Protocol
from controlplane.api.interceptors import Interceptors, Rpc
from controlplane.api.permissions import PERMISSIONS, Access
from controlplane.api.unserved import explain
from controlplane.api.wire import (
    CODECS,
    COMPRESSIONS,
    MAX_REQUEST_BYTES,
    CheckedProtocol,
    too_large,
)
from controlplane.core.callers import Caller
from controlplane.core.errors import UnbuiltError
from shared.idl.platform import v1 as platform

logger = logging.getLogger(__name__)

_GRPC_STATUS = {Code.INVALID_ARGUMENT: 3, Code.UNIMPLEMENTED: 12}
_TRAILERS = "http.response.trailers"
"""The extension of ASGI that a connection has on which gRPC's status can be sent."""

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class PublicApi:
    """The ASGI application for the path of every RPC."""

    def __init__(self, services: Mapping[str, object], interceptors: Interceptors) -> None:
        """Serve ``services`` by their full names; UNIMPLEMENTED for all others."""
        self.streams = interceptors.streams
        self.interceptors = interceptors
        self.bound = {each.rpc.name: each for each in _bind(services)}
        self._endpoints = {
            f"/{name}": _endpoint(each, interceptors) for name, each in self.bound.items()
        }
        self._application = _Application(self._endpoints)

    def end_streams(self) -> None:
        """End every stream with "connect again"; no new stream is opened."""
        self.streams.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no RPC is served over {scope['type']}")
        if scope["path"] not in self._endpoints:
            await _refuse(
                scope, send, 404, Code.UNIMPLEMENTED, f"there is no RPC {scope['path'][:200]}"
            )
            return
        try:
            protocol = headers.check(scope["headers"])
        except BadHeaderError as error:
            await _refuse(scope, send, 400, Code.INVALID_ARGUMENT, str(error))
            return
        if protocol is Protocol.NATIVE_GRPC and _TRAILERS not in scope.get("extensions", ()):
            await _refuse(
                scope,
                send,
                415,
                Code.UNIMPLEMENTED,
                "use gRPC over HTTP/2, or Connect or gRPC-Web",
            )
            return
        exchange = _Exchange(receive)
        send = compress_stream(scope["headers"], send)
        try:
            await self._application(scope, exchange.receive, send)
        except (asyncio.CancelledError, ConnectError):
            # connectrpc answers and then raises the cancellation again.
            if not exchange.disconnected:
                raise
        except Exception:
            # The caller already got an answer, without our internals.
            logger.exception("call failed outside its method", extra={"path": scope["path"]})


class _Application(ConnectASGIApplication[None]):
    def __init__(self, endpoints: Mapping[str, Any]) -> None:
        super().__init__(
            service=None,
            endpoints=lambda _: endpoints,
            read_max_bytes=MAX_REQUEST_BYTES,
            compressions=COMPRESSIONS,
            codecs=CODECS,
        )

    @property
    def path(self) -> str:
        return ""

    async def _handle_stream(self, receive: Any, send: Any, protocol: Any, *others: Any) -> None:
        await super()._handle_stream(receive, send, CheckedProtocol(protocol), *others)


class _Exchange:
    """
    One request's ASGI events, with two checks that connectrpc does not make.

    connectrpc reads a body of any length, and notices that the client of a stream has disconnected
    only when it has something to send: the watcher of a quiet run would stay for ever.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._received = 0
        self._task = asyncio.current_task()
        self.disconnected = False

    async def receive(self) -> Event:
        event = await self._receive()
        if event["type"] == "http.request":
            self._received += len(event.get("body", b""))
            if self._received > MAX_REQUEST_BYTES:
                raise too_large()
        elif event["type"] == "http.disconnect" and not self.disconnected:
            self.disconnected = True
            # Raised in connectrpc's task that waits for a disconnect; the stream is another task.
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()
        return event


def services() -> Iterator[ServiceDescriptor]:
    """Yield the services that flyteidl2 has generated server code for, then the platform's."""
    for module in pkgutil.walk_packages(flyteidl2.__path__, "flyteidl2."):
        if module.name.endswith("_connect"):
            yield from _services_of(module.name.removesuffix("_connect") + "_pb2")
    yield from platform_services()


def platform_services() -> Iterator[ServiceDescriptor]:
    """Yield the services of ``volary.platform.v1``."""
    for module in pkgutil.iter_modules(platform.__path__, f"{platform.__name__}."):
        if module.name.endswith("_pb2"):
            yield from _services_of(module.name)


def _services_of(module: str) -> Iterator[ServiceDescriptor]:
    yield from importlib.import_module(module).DESCRIPTOR.services_by_name.values()


@dataclass(frozen=True, slots=True)
class Bound:
    """An RPC with the method that serves it: a unary or a stream method, by the descriptor."""

    rpc: Rpc
    method: MethodDescriptor
    function: Any


def _bind(implementations: Mapping[str, object]) -> Iterator[Bound]:
    """Yield every RPC there is with its method; RPCs without one with a method that refuses."""
    for service in services():
        methods = implementations.get(service.full_name)
        for method in service.methods:
            name = f"{service.full_name}/{method.name}"
            rpc = Rpc(name, PERMISSIONS[service.full_name][method.name])
            if methods is None or rpc.access is Access.UNBUILT:
                yield Bound(Rpc(name, Access.UNBUILT), method, _unimplemented(name))
            else:
                yield Bound(rpc, method, getattr(methods, snake_case(method.name)))


def _endpoint(bound: Bound, interceptors: Interceptors) -> Endpoint[Any, Any]:
    rpc, method, function = bound.rpc, bound.method, bound.function
    info = method_info(method)
    if method.client_streaming:  # none is built: the incoming stream is not read
        unread: Any = interceptors.stream(rpc, function)
        return Endpoint.bidi_stream(info, unread)
    if method.server_streaming:
        return Endpoint.server_stream(info, interceptors.stream(rpc, function))
    return Endpoint.unary(info, interceptors.unary(rpc, function))


def method_info(method: MethodDescriptor) -> MethodInfo[Any, Any]:
    """Describe a method to connectrpc."""
    return MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,
    )


def _unimplemented(name: str) -> Callable[[Caller, Message], NoReturn]:
    def refuse(_caller: Caller, _request: Message) -> NoReturn:
        raise UnbuiltError(explain(name))

    return refuse


def snake_case(name: str) -> str:
    """Spell a method as Python does: GetActionDataURIs is get_action_data_uris."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


async def _refuse(scope: Scope, send: Send, status: int, code: Code, message: str) -> None:
    """Answer as Connect or gRPC does; an empty 404 would reach people without a reason."""
    if _TRAILERS in scope.get("extensions", ()) and headers.names_grpc(scope["headers"]):
        await _refuse_grpc(send, code, message)
        return
    await send({
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json")],
    })  # fmt: skip
    body = json.dumps({"code": code.value, "message": message}).encode()
    await send({"type": "http.response.body", "body": body})


async def _refuse_grpc(send: Send, code: Code, message: str) -> None:
    trailers = [
        (b"grpc-status", str(_GRPC_STATUS[code]).encode()),
        (b"grpc-message", quote(message, safe=" ").encode()),
    ]
    content_type = (b"content-type", b"application/grpc")
    start = {"type": "http.response.start", "status": 200, "headers": [content_type]}
    await send({**start, "trailers": True})
    await send({"type": "http.response.body", "body": b""})
    await send({"type": "http.response.trailers", "headers": trailers})
