"""
Calls agents from any replica: on their stream if this replica has it, else through the store.

Replicas need not reach each other. The calling replica inserts its call into the store; the
session that has the agent claims it, makes the call and stores the replies, a few at a time.
Notifications only wake the two, which also poll: a lost notification costs seconds.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from google.protobuf.message import DecodeError

from controlplane.core.errors import UnavailableError
from controlplane.core.forwarded_calls import MAX_REPLY_BYTES, ForwardedCallId, ForwardedCallRef
from controlplane.feeds.feeds import Feeds
from controlplane.link.live_calls import Calls, Cluster, LiveCalls, is_last
from controlplane.usecases.agent_sessions import AgentSessionRef
from controlplane.usecases.forwarded_calls import ForwardedCalls, Put
from shared.idl.agent.v1 import call_pb2
from shared.kit.wakeup import Wakeup

log = logging.getLogger(__name__)

# Poll intervals for lost notifications. Callers give up long before sessions poll for calls.
CALL_POLL_INTERVAL = timedelta(seconds=60)
REPLY_POLL_INTERVAL = timedelta(seconds=2)
CALLER_POLL_INTERVAL = timedelta(seconds=5)
RETRY_INTERVAL = timedelta(milliseconds=500)
"""Poll interval while no session has claimed the call, or the store is unavailable."""
CLEANUP_TIMEOUT_SECONDS = 5.0
"""Timeout for deleting a call that ended; after that the stale-call reaper deletes it."""


class Agents:
    """Calls any agent that is connected to any replica."""

    def __init__(self, live: LiveCalls, forwarded_calls: ForwardedCalls, feeds: Feeds) -> None:
        self._live = live
        self._forwarded_calls = forwarded_calls
        self._feeds = feeds

    async def ask(
        self, cluster: Cluster, request: call_pb2.Call
    ) -> AsyncGenerator[call_pb2.Reply, None]:
        """
        Yield the agent's replies; the last is its ``done`` or its ``error``.

        UnavailableError: no replica has the agent, or the one that had it disconnected.
        """
        local = self._live.find(cluster)
        call = self._forward(cluster, request) if local is None else local.ask(request)
        async with aclosing(call) as replies:
            async for reply in replies:
                yield reply

    async def _forward(
        self, cluster: Cluster, request: call_pb2.Call
    ) -> AsyncGenerator[call_pb2.Reply, None]:
        org, name = cluster
        forwarded = self._forwarded_calls.new(org)
        arrived = Wakeup()
        with self._feeds.forwarded_call(forwarded.id, arrived):
            try:
                await self._forwarded_calls.insert_call(
                    forwarded, name, request.SerializeToString()
                )
                read = 0
                is_claimed = answered = False
                while not answered:
                    await arrived.wait(REPLY_POLL_INTERVAL if is_claimed else RETRY_INTERVAL)
                    taken = await self._forwarded_calls.take(forwarded)
                    is_claimed = taken.is_claimed
                    for number, body in taken.replies:
                        if number <= read:
                            continue  # stored twice: the session retried a put
                        read = number
                        reply = _parse(body)
                        answered = is_last(reply)
                        yield reply
            finally:
                await self._delete(forwarded)

    async def _delete(self, forwarded: ForwardedCallRef) -> None:
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
                await self._forwarded_calls.end(forwarded)
        except (UnavailableError, TimeoutError) as error:
            log.warning("forwarded call not deleted", extra={"error": str(error)})


class ForwardedCallServer:
    """Serves the calls that other replicas forward to one session's agent."""

    def __init__(self, calls: Calls, forwarded_calls: ForwardedCalls, feeds: Feeds) -> None:
        self._calls = calls
        self._forwarded_calls = forwarded_calls
        self._feeds = feeds

    async def run(self, session: AgentSessionRef) -> None:
        """Serve calls until cancelled; SupersededError when the session is not the latest."""
        cluster = session.cluster
        called = Wakeup()
        with self._feeds.calls(cluster.org, cluster.name, called):
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        claimed = await self._forwarded_calls.claim(session)
                    except UnavailableError as error:
                        log.warning("forwarded calls not claimed", extra={"error": str(error)})
                        claimed = {}
                    for forwarded, request in claimed.items():
                        tasks.create_task(
                            self._serve(session, forwarded, request), name="link-forwarded-call"
                        )
                    await called.wait(CALL_POLL_INTERVAL)

    async def _serve(
        self, session: AgentSessionRef, forwarded: ForwardedCallId, request: bytes
    ) -> None:
        """Serve one call until it ends or its caller stops waiting."""
        arrived, capacity = Wakeup(), Wakeup()
        ref = ForwardedCallRef(session.cluster.org, forwarded)
        with self._feeds.forwarded_call(forwarded, arrived):
            async with asyncio.TaskGroup() as tasks:
                forwarding = tasks.create_task(
                    self._call_agent(session, forwarded, request, capacity)
                )
                forwarding.add_done_callback(lambda _: arrived.wake())
                while not forwarding.done() and await self._has_caller(ref):
                    capacity.wake()
                    await arrived.wait(CALLER_POLL_INTERVAL)
                forwarding.cancel()

    async def _has_caller(self, forwarded: ForwardedCallRef) -> bool:
        try:
            return await self._forwarded_calls.has_caller(forwarded)
        except UnavailableError:
            return True  # unknown while the store is unavailable: keep the call running

    async def _call_agent(
        self, session: AgentSessionRef, forwarded: ForwardedCallId, request: bytes, capacity: Wakeup
    ) -> None:
        number = 0
        try:
            async with aclosing(self._calls.ask(call_pb2.Call.FromString(request))) as replies:
                async for reply in replies:
                    number += 1
                    if not await self._put(session, forwarded, number, _render(reply), capacity):
                        return
        except UnavailableError as error:
            error_reply = call_pb2.CallError(code="unavailable", message=str(error))
            body = call_pb2.Reply(error=error_reply).SerializeToString()
            await self._put(session, forwarded, number + 1, body, capacity)

    async def _put(
        self,
        session: AgentSessionRef,
        forwarded: ForwardedCallId,
        number: int,
        body: bytes,
        capacity: Wakeup,
    ) -> bool:
        """Store a reply once earlier ones are read; False when the caller stopped waiting."""
        while True:
            try:
                match await self._forwarded_calls.put(session, forwarded, number, body):
                    case Put.PUT:
                        return True
                    case Put.NO_CALLER:
                        return False
                    case Put.FULL:
                        await capacity.wait(CALLER_POLL_INTERVAL)
            except UnavailableError as error:
                log.warning("forwarded reply not stored", extra={"error": str(error)})
                await capacity.wait(RETRY_INTERVAL)


def _render(reply: call_pb2.Reply) -> bytes:
    body = reply.SerializeToString()
    if len(body) > MAX_REPLY_BYTES:
        raise UnavailableError("the agent's reply is too large to be forwarded")
    return body


def _parse(body: bytes) -> call_pb2.Reply:
    try:
        return call_pb2.Reply.FromString(body)
    except DecodeError as error:
        raise UnavailableError("a forwarded reply cannot be read; try again") from error
