"""
Forward calls of the SDK to the control plane: authenticate, authorize, pass on.

An answer is passed back as it arrives, no faster than the client reads it. A stream whose
upstream connection breaks is ended with UNAVAILABLE, on which the SDK reconnects; it would take
a normal end for the end of the action.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from http import HTTPStatus

import aiohttp
from aiohttp import web

from dataplane.agent.proxy import local_handlers, proxy_limits
from dataplane.agent.proxy.bodies import Bodies
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.envelopes import Envelopes
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.metrics import Counts
from dataplane.agent.proxy.pod_limits import PodLimits
from dataplane.agent.proxy.request_parsing import authorize, parse
from dataplane.agent.proxy.rules import RPCS, Rpc
from dataplane.agent.proxy.run_lineage import RunLineage
from dataplane.agent.proxy.sockets import enable_keepalive
from dataplane.agent.proxy.tokens import Tokens
from dataplane.agent.proxy.upstream import Upstream, introduce, passed_back, passed_on
from shared.model.task_calls import Scope, explain_absence

logger = logging.getLogger(__name__)

_LOST = "the agent has lost its connection to the control plane; connect again"
_STOPPING = "this replica of the agent is stopping; connect again"


class Proxy:
    def __init__(
        self,
        *,
        tokens: Tokens,
        lineage: RunLineage,
        lines: PodLimits,
        bodies: Bodies,
        upstream: Upstream,
        counts: Counts,
    ) -> None:
        self._tokens = tokens
        self._lineage = lineage
        self._lines = lines
        self._bodies = bodies
        self._upstream = upstream
        self._counts = counts
        self._ending = asyncio.Event()
        self._streams: set[asyncio.Task[object]] = set()

    def end_streams(self) -> None:
        """End every stream so that its client reconnects, to another replica."""
        self._ending.set()
        for task in self._streams:
            task.cancel()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Handle a ``POST /package.Service/Method``."""
        name = request.path.removeprefix("/")
        rpc = RPCS.get(name)
        is_stream = rpc.is_stream if rpc else "connect+" in request.content_type
        try:
            if rpc is None:
                return await self._reject(name, request)
            if rpc.rule.scope is Scope.LOCAL:
                return await local_handlers.answer(rpc, request, self._bodies)
            caller = await self._tokens.admit(request.headers.get("authorization"))
            holding = self._lines.stream if rpc.is_stream else self._lines.call
            timing = nullcontext() if rpc.is_stream else self._counts.calling(rpc.name)
            async with holding(caller.uid):
                with timing:
                    return await self._forward(rpc, caller, request)
        except PodCallRefusedError as refusal:
            self._counts.refused(name if rpc else "", refusal.code)
            logger.info(
                "call refused",
                extra={"rpc": name, "code": refusal.code.word, "detail": refusal.message},
            )
            return _refused(refusal, is_stream=is_stream)

    async def _reject(self, name: str, request: web.Request) -> web.StreamResponse:
        await self._tokens.admit(
            request.headers.get("authorization")
        )  # unauthenticated callers learn nothing
        raise PodCallRefusedError(Code.PERMISSION_DENIED, explain_absence(name))

    async def _forward(self, rpc: Rpc, caller: Caller, request: web.Request) -> web.StreamResponse:
        headers = passed_on(request.headers.items())
        limit = proxy_limits.STREAM_REQUEST_BYTES if rpc.is_stream else proxy_limits.REQUEST_BYTES
        async with self._bodies.read(request, limit, pod=caller.uid) as body:
            await authorize(parse(rpc, body, headers), caller, self._lineage)
            sending = self._upstream.send(
                rpc.name,
                body,
                caller,
                headers={**headers, **introduce(caller, request.remote or "")},
                within=None if rpc.is_stream else proxy_limits.CALL_WITHIN.total_seconds(),
            )
            async with sending as answer:
                self._counts.passed(rpc.name)
                response = web.StreamResponse(
                    status=answer.status, headers=passed_back(answer.headers)
                )
                await response.prepare(request)
                if rpc.is_stream:
                    _watch(request)
                    with self._counts.streaming():
                        await self._pass_stream(answer, response, request)
                else:
                    await self._pass_whole(answer, response, request)
                return response

    async def _pass_whole(
        self, answer: aiohttp.ClientResponse, response: web.StreamResponse, request: web.Request
    ) -> None:
        try:
            async for chunk in _chunks(answer):
                await response.write(chunk)
        except _LostError:
            _cut(request)  # the headers announced more
        else:
            await response.write_eof()

    async def _pass_stream(
        self, answer: aiohttp.ClientResponse, response: web.StreamResponse, request: web.Request
    ) -> None:
        envelopes = Envelopes()
        try:
            with self._listed():
                async for chunk in _chunks(answer):
                    envelopes.feed(chunk)
                    await response.write(chunk)
            if envelopes.is_over or answer.status != HTTPStatus.OK:
                await response.write_eof()
                return
            lost = _LOST
        except _LostError as error:
            logger.info("stream lost", extra={"detail": str(error.__cause__)})
            lost = _LOST
        except _StoppingError:
            lost = _STOPPING
        if not envelopes.is_between:
            _cut(request)
            return
        await response.write(PodCallRefusedError(Code.UNAVAILABLE, lost).as_end_of_stream())
        await response.write_eof()

    @contextmanager
    def _listed(self) -> Iterator[None]:
        """Register the current task's stream among those that :meth:`end_streams` can end."""
        task = asyncio.current_task()
        if task is None or self._ending.is_set():
            raise _StoppingError
        self._streams.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._ending.is_set():
                raise  # the pod closed the connection
            task.uncancel()
            raise _StoppingError from None
        finally:
            self._streams.discard(task)


class _LostError(Exception):
    """The upstream connection of a stream broke."""


class _StoppingError(Exception):
    """This proxy is shutting down."""


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _LostError from error


def _refused(refusal: PodCallRefusedError, *, is_stream: bool) -> web.Response:
    if is_stream:
        return web.Response(
            body=refusal.as_end_of_stream(), content_type="application/connect+proto"
        )
    return web.Response(
        status=refusal.code.status, body=refusal.as_body(), content_type="application/json"
    )


def _watch(request: web.Request) -> None:
    """Enable keepalive, to detect that a pod's node is gone without closing its connections."""
    there = request.transport.get_extra_info("socket") if request.transport else None
    if there is not None:
        enable_keepalive(there)


def _cut(request: web.Request) -> None:
    """Break the connection: the client sees that the answer is incomplete."""
    if request.transport is not None:
        request.transport.abort()
