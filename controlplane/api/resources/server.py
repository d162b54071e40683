"""
Serves the resource API below ``/api/v1/``: finds the route, has its RPC answer, writes the answer.

Runs the RPC's interceptors and method in this process, without a second HTTP call.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import Headers, RequestContext
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.api import headers
from controlplane.api.errors import answer_for
from controlplane.api.headers import BadHeaderError
from controlplane.api.interceptors import REQUEST_ID_HEADER
from controlplane.api.resources import bodies, copies, data_values, launches, requests
from controlplane.api.resources.absent import explain_path, find_alternative
from controlplane.api.resources.answers import Answer, pick, render_error, render_message
from controlplane.api.resources.bodies import BodyRefusedError
from controlplane.api.resources.line_streams import LineStream
from controlplane.api.resources.paths import Found, Paths
from controlplane.api.resources.requests import Call
from controlplane.api.resources.route import BASE
from controlplane.api.resources.routes import ROUTES
from controlplane.api.server import Bound, PublicApi, method_info
from controlplane.api.streams import closing
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotFoundError, RequestError, UnbuiltError

OWN_ORG = "-"
"""Stands in a path for the org of the caller's credential."""

_MAX_QUOTED = 200  # characters of a path in an error message

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class ResourceApi:
    """The ASGI application for all paths below ``/api/v1/``."""

    def __init__(self, public: PublicApi) -> None:
        """Serve the routes with the RPCs of ``public``."""
        self._interceptors = public.interceptors
        self._bound = public.bound
        self._paths = Paths(ROUTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(scope, receive)
        if isinstance(answer, LineStream):
            await answer.send(receive, send)
            return
        head = {"type": "http.response.start", "status": answer.status}
        await send({**head, "headers": list(answer.headers)})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | LineStream:
        request_id: list[tuple[bytes, bytes]] = []
        try:
            found = await self._find(scope, receive)
            routes = found.routes.get(scope["method"])
            if routes is None:
                return _refuse_method(scope["method"], found)
            query = requests.parse_query(scope["query_string"], requests.list_parameters(routes))
            given = _headers(scope)
            route = requests.choose(routes, query, given)
            call = Call(
                route,
                found.values,
                query,
                header="" if route.header is None else given[route.header.name],
                body=await bodies.read(given, receive) if route.has_body else b"",
            )
            if route.lines:
                return await self._stream(scope, call, given, request_id)
            return await self._call(scope, call, given, request_id)
        except BodyRefusedError as error:
            return render_error(
                ConnectError(Code.INVALID_ARGUMENT, str(error)), status=error.status
            )
        except Exception as error:  # noqa: BLE001 - answer_for logs what is a bug
            name = uuid4().hex
            answered = answer_for(error, rpc=scope["path"][:_MAX_QUOTED], request_id=name)
            return render_error(answered, request_id or [_request_id(name)])

    async def _find(self, scope: Scope, receive: Receive) -> Found:
        """Return the routes of a path; an error says where else what it names is."""
        found = self._paths.find(scope["raw_path"].partition(b"?")[0])
        if found is None:
            raise await _explain(scope, receive)
        return found

    async def _call(
        self, scope: Scope, call: Call, given: Headers, request_id: list[tuple[bytes, bytes]]
    ) -> Answer:
        bound = self._bound[call.route.rpc]
        message = GetMessageClass(bound.method.input_type)()
        requests.build_request(call, message)
        function = bound.function
        if call.route.copies is not None:
            copies.prepare(message, call.route.copies)
            function = copies.copying(self._bound)
        elif call.route.renders_values:
            function = data_values.reading_values(self._bound)
        elif call.route.takes_values:
            function = launches.launching(self._bound, call.body)
        context = _context(scope, bound, given)
        answer = self._interceptors.unary(bound.rpc, _within(call.values["org"], function))
        try:
            response = await answer(message, context)
        finally:
            if name := context.response_headers().get(REQUEST_ID_HEADER):
                request_id.append(_request_id(name))
        part = pick(call.route, response)
        requests.bind_page(call, part)
        return render_message(call.route, part)

    async def _stream(
        self, scope: Scope, call: Call, given: Headers, request_id: list[tuple[bytes, bytes]]
    ) -> LineStream:
        """Return the lines of a stream, once its first answer is there; an error has its status."""
        bound = self._bound[call.route.rpc]
        message = GetMessageClass(bound.method.input_type)()
        requests.build_request(call, message)
        context = _context(scope, bound, given)
        method = _stream_within(call.values["org"], bound.function)
        messages = self._interceptors.stream(bound.rpc, method)(message, context)
        try:
            first = await anext(messages, None)
        finally:
            if name := context.response_headers().get(REQUEST_ID_HEADER):
                request_id.append(_request_id(name))
        return LineStream(first, messages, call.route.lines, request_id)


async def _explain(scope: Scope, receive: Receive) -> RequestError:
    """Return the error for a path without a route."""
    path = scope["path"][:_MAX_QUOTED]
    reason = explain_path(path)
    if reason is None:
        return NotFoundError(
            "path", path, remedy=f"paths begin with {BASE}, where {OWN_ORG} is your own org"
        )
    body = await bodies.read(_headers(scope), receive)
    alternative = find_alternative(path, scope["query_string"], body)
    return UnbuiltError(reason) if alternative is None else InvalidError(alternative)


def _within(
    org: str, method: Callable[[Caller, Any], Awaitable[Message]]
) -> Callable[[Caller, Any], Awaitable[Message]]:
    """Return the method for callers of ``org`` only; to others the org does not exist."""

    async def answer(caller: Caller, request: Message) -> Message:
        _require_own(org, caller)
        return await method(caller, request)

    return answer


def _stream_within(
    org: str, method: Callable[[Caller, Any], AsyncIterator[Message]]
) -> Callable[[Caller, Any], AsyncIterator[Message]]:
    """Return the streaming method for callers of ``org`` only."""

    async def answer(caller: Caller, request: Message) -> AsyncGenerator[Message, None]:
        _require_own(org, caller)
        async with closing(method(caller, request)) as messages:
            async for message in messages:
                yield message

    return answer


def _require_own(org: str, caller: Caller) -> None:
    if org not in (OWN_ORG, caller.org):
        raise NotFoundError("org", org[:_MAX_QUOTED], remedy=f"{OWN_ORG} is your own")


def _headers(scope: Scope) -> Headers:
    try:
        headers.check(scope["headers"])
    except BadHeaderError as error:
        raise InvalidError(str(error)) from error
    return Headers([(name.decode("latin-1"), value.decode()) for name, value in scope["headers"]])


def _context(scope: Scope, bound: Bound, given: Headers) -> RequestContext[Any, Any]:
    client = scope.get("client")
    return RequestContext(
        method=method_info(bound.method),
        http_method=scope["method"],
        request_headers=given,
        client_address=f"{client[0]}:{client[1]}" if client else None,
    )


def _refuse_method(method: str, found: Found) -> Answer:
    allowed = ", ".join(sorted(found.routes))
    error = ConnectError(Code.UNIMPLEMENTED, f"{method} is not served here; send {allowed}")
    return render_error(error, [(b"allow", allowed.encode())], status=405)


def _request_id(name: str) -> tuple[bytes, bytes]:
    return REQUEST_ID_HEADER.encode(), name.encode()
