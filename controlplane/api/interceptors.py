"""
Authenticates, authorises, validates, logs and counts every call.

Plain functions around a service's method, made once for each RPC when the application is
built, because the hot path (Enqueue) runs them thousands of times a second. The method gets its
caller as an argument; a context variable has what log records get, and nothing else.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from time import perf_counter
from typing import Any
from uuid import uuid4

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from google.protobuf.message import Message

from controlplane.api.attempt_calls import Lineage, require_own, require_row
from controlplane.api.errors import answer_for
from controlplane.api.live_streams import LiveStreams
from controlplane.api.metrics import CallMetrics
from controlplane.api.orgs import fill_org
from controlplane.api.permissions import Access
from controlplane.api.request_rates import RequestRates
from controlplane.api.spans import CallSpans, EndedCall
from controlplane.api.streams import closing
from controlplane.api.subjects import find_subject
from controlplane.api.validation import validate
from controlplane.authn.authenticator import Authenticator
from controlplane.core.callers import ANONYMOUS, Caller, Permission
from controlplane.core.errors import NotAllowedError, QuotaExceededError
from shared.kit.clock import Clock
from shared.kit.log_context import log_fields
from shared.model.traces import describe_action
from shared.traces.spans import NO_SPANS, SpanRecorder

logger = logging.getLogger(__name__)

Context = RequestContext[Any, Any]
UnaryMethod = Callable[[Caller, Any], Awaitable[Message]]
RecordRefusal = Callable[[Caller, str, str], Awaitable[None]]
"""Records that a call of an RPC was refused, with the answer."""
StreamMethod = Callable[[Caller, Any], AsyncIterator[Message]]

REQUEST_ID_HEADER = "x-request-id"
RETRY_AFTER_HEADER = "retry-after"  # in seconds
TRACEPARENT_HEADER = "traceparent"
MAX_UNARY_SECONDS = 60.0
"""Longest a unary call may run, however long the caller's own timeout."""

_UNREMARKABLE = frozenset({"ok", Code.CANCELED.value})
_MAX_LOGGED = 500  # characters of an error message in the log
_REQUEST_ID = re.compile(r"[\w.:/-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC: its name, ``package.Service/Method``, and the permission it requires."""

    name: str
    access: Permission | Access


def is_administrative(rpc: Rpc) -> bool:
    """Return whether an RPC administers something: its refusals are in the audit log."""
    if isinstance(rpc.access, Permission):
        return rpc.access.endswith(":write") and rpc.access is not Permission.BLOB_WRITE
    return rpc.access is Access.KNOWN and rpc.name.startswith("volary.platform.")


def _is_rated(rpc: Rpc, caller: Caller) -> bool:
    """
    Return whether a call counts in the org's requests per second.

    Of the calls of tasks only enqueues do, because the SDK waits if they are refused; another
    refused call would fail the task.
    """
    return caller.attempt is None or rpc.access is Permission.ACTION_ENQUEUE


class _Call:
    """One call, from its arrival to its log line."""

    __slots__ = (
        "_answer",
        "_context",
        "_metrics",
        "_started",
        "caller",
        "code",
        "request",
        "request_id",
        "response",
        "rpc",
    )

    def __init__(self, rpc: Rpc, request: Message, context: Context, metrics: CallMetrics) -> None:
        self.rpc = rpc
        self.request = request
        self.response: Message | None = None
        self.caller: Caller | None = None
        self.code = "ok"
        self._answer = ""
        self._context = context
        self._metrics = metrics
        self._started = perf_counter()
        given = context.request_headers().get(REQUEST_ID_HEADER)
        # The request id goes into logs and headers: the caller's is used only if it is plain text.
        self.request_id = given if given and _REQUEST_ID.fullmatch(given) else uuid4().hex

    def log_fields(self) -> Mapping[str, object]:
        """Return the fields of each record that is logged during the call."""
        fields: dict[str, object] = {"request_id": self.request_id}
        if self.caller is not None and self.caller.org:
            fields["org"] = self.caller.org
            if (subject := find_subject(self.request)) is not None:
                fields |= describe_action(self.caller.org, subject.action)
        return fields

    def failed(self, error: Exception) -> ConnectError:
        answer = answer_for(error, rpc=self.rpc.name, request_id=self.request_id)
        self.code = answer.code.value
        self._answer = answer.message
        headers = self._context.response_headers()
        headers[REQUEST_ID_HEADER] = self.request_id
        if isinstance(error, QuotaExceededError) and error.retry_after is not None:
            headers[RETRY_AFTER_HEADER] = str(ceil(error.retry_after.total_seconds()))
        return answer

    def _ended(self, seconds: float) -> EndedCall:
        return EndedCall(
            rpc=self.rpc.name,
            org=self.caller.org if self.caller is not None and self.caller.org else None,
            code=self.code,
            message=self._answer[:_MAX_LOGGED],
            traceparent=self._context.request_headers().get(TRACEPARENT_HEADER) or "",
            request=self.request,
            response=self.response,
            seconds=seconds,
        )

    def end(self, spans: CallSpans, *, timed: bool) -> None:
        seconds = perf_counter() - self._started
        if spans.is_on:
            spans.record(self._ended(seconds))
        self._metrics.ended(self.rpc.name, self.code, seconds if timed else None)
        # Successful calls come thousands a second, and a task cancels its stream when it is done:
        # both at DEBUG only. Errors are what people ask about.
        level = logging.DEBUG if self.code in _UNREMARKABLE else logging.INFO
        if self.code == Code.UNAVAILABLE.value and timed:
            level = logging.WARNING  # the SDK hides the message of "unavailable" from its user
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "call ended",
                extra={
                    **self.log_fields(),
                    "rpc": self.rpc.name,
                    "code": self.code,
                    "ms": round(seconds * 1000, 2),
                    "subject": self.caller.subject if self.caller else "",
                    "org": self.caller.org if self.caller else "",
                    "answer": self._answer[:_MAX_LOGGED],
                },
            )


class Interceptors:
    """Wraps methods of services; the open streams are in ``streams``."""

    def __init__(
        self,
        authn: Authenticator,
        metrics: CallMetrics,
        clock: Clock,
        *,
        lineage: Lineage | None = None,
        refused: RecordRefusal | None = None,
        spans: SpanRecorder = NO_SPANS,
        rates: RequestRates | None = None,
    ) -> None:
        """
        Wrap methods with these.

        ``lineage`` is needed if ``authn`` accepts tokens of tasks; ``refused`` records refused
        calls that administer something; ``rates`` limit the calls of an org.
        """
        self._refused = refused
        self._authn = authn
        self._lineage = lineage
        self._rates = rates
        self._metrics = metrics
        self._spans = CallSpans(spans, clock)
        self.streams = LiveStreams(clock)

    def unary(
        self, rpc: Rpc, method: UnaryMethod
    ) -> Callable[[Message, Context], Awaitable[Message]]:
        async def answer(request: Message, context: Context) -> Message:
            call = _Call(rpc, request, context, self._metrics)
            self._metrics.in_flight.inc()
            try:
                with log_fields(call.log_fields):
                    async with asyncio.timeout(_timeout_seconds(context)):
                        call.caller = await self._admit(call, request, context)
                        call.response = await method(call.caller, request)
                        return call.response
            except asyncio.CancelledError:
                call.code = Code.CANCELED.value
                raise
            except Exception as error:
                await self._record_refusal(call, error)
                raise call.failed(error) from error
            finally:
                self._metrics.in_flight.dec()
                call.end(self._spans, timed=True)

        return answer

    def stream(
        self, rpc: Rpc, method: StreamMethod
    ) -> Callable[[Message, Context], AsyncIterator[Message]]:
        async def answer(request: Message, context: Context) -> AsyncGenerator[Message]:
            call = _Call(rpc, request, context, self._metrics)
            try:
                with self._count(rpc), self.streams.open() as stream:
                    async with asyncio.timeout(MAX_UNARY_SECONDS):
                        call.caller = await self._admit(call, request, context)
                    with self.streams.of_caller(stream, call.caller):
                        async with closing(method(call.caller, request)) as messages:
                            async for message in messages:
                                yield message
            except (asyncio.CancelledError, GeneratorExit):
                call.code = Code.CANCELED.value
                raise
            except Exception as error:
                raise call.failed(error) from error
            finally:
                call.end(self._spans, timed=False)

        return answer

    async def _admit(self, call: _Call, request: Message, context: Context) -> Caller:
        """Authenticate the caller, check their permission, and validate the request."""
        rpc, peer = call.rpc, context.client_address()
        if rpc.access is Access.PUBLIC:
            return ANONYMOUS
        caller = await self._authn.authenticate(context.request_headers(), peer)
        caller = replace(caller, peer=peer or "", request_id=call.request_id)
        call.caller = caller  # for the log line, if it is refused below
        if self._rates is not None and _is_rated(rpc, caller):
            self._rates.take(caller.org)
        if caller.attempt is not None:
            require_row(rpc.name)
        if rpc.access is Access.UNBUILT:
            return caller  # the method refuses; there are no rules for a request that is not served
        if isinstance(rpc.access, Permission):
            caller.require_somewhere(rpc.access)
        fill_org(request, caller.org)
        validate(request)
        if caller.attempt is not None:
            if self._lineage is None:
                raise NotAllowedError("this endpoint takes no calls of tasks")
            await require_own(caller, caller.attempt, rpc.name, request, self._lineage)
        return caller

    async def _record_refusal(self, call: _Call, error: Exception) -> None:
        caller = call.caller
        # Tasks are many, and each attempt is a subject of its own: the log line is enough.
        if self._refused is None or caller is None or caller.attempt is not None:
            return
        if isinstance(error, NotAllowedError) and is_administrative(call.rpc):
            await self._refused(caller, call.rpc.name, str(error))

    @contextmanager
    def _count(self, rpc: Rpc) -> Iterator[None]:
        gauge = self._metrics.streams(rpc.name)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()


def _timeout_seconds(context: Context) -> float:
    """Return the seconds this call may take: the caller's timeout, but at most our own."""
    asked = context.timeout_ms()
    return MAX_UNARY_SECONDS if asked is None else min(asked / 1000, MAX_UNARY_SECONDS)
