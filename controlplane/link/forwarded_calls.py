"""
Calls to agents from any replica: directly where the agent's stream ends here, through the
store where it ends elsewhere.

Replicas need not reach each other. The one that asks leaves its call in the store; the
session that has the agent takes it, makes the call and leaves the replies, a few at a
time. Notices only wake both, who look again in any case: a lost one costs seconds.
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
from controlplane.usecases.agent_sessions import SessionRef
from controlplane.usecases.forwarded_calls import ForwardedCalls, Put
from shared.idl.agent.v1 import call_pb2
from shared.kit.wakeup import Wakeup

log = logging.getLogger(__name__)

# How often each looks without being told. Callers give up long before sessions look.
CALL_POLL_INTERVAL = timedelta(seconds=60)
REPLY_POLL_INTERVAL = timedelta(seconds=2)
CALLER_POLL_INTERVAL = timedelta(seconds=5)
RETRY_INTERVAL = timedelta(
    milliseconds=500
)  # while nobody has taken the call, or the store is away
CLEANUP_TIMEOUT_SECONDS = (
    5.0  # to take a call back; after that the pass over forgotten ones does it
)


class Agents:
    """Every agent that is connected to any replica."""

    def __init__(self, live: LiveCalls, relays: ForwardedCalls, feeds: Feeds) -> None:
        self._live = live
        self._relays = relays
        self._feeds = feeds

    async def ask(
        self, cluster: Cluster, request: call_pb2.Call
    ) -> AsyncGenerator[call_pb2.Reply, None]:
        """
        Yield the agent's replies; the last is its ``done`` or its ``error``.

        UnavailableError: no replica has the agent, or the one that had it is gone.
        """
        here = self._live.find(cluster)
        asked = self._relayed(cluster, request) if here is None else here.ask(request)
        async with aclosing(asked) as replies:
            async for reply in replies:
                yield reply

    async def _relayed(
        self, cluster: Cluster, request: call_pb2.Call
    ) -> AsyncGenerator[call_pb2.Reply, None]:
        org, name = cluster
        forwarded = self._relays.new(org)
        arrived = Wakeup()
        with self._feeds.forwarded_call(forwarded.id, arrived):
            try:
                await self._relays.insert_call(forwarded, name, request.SerializeToString())
                read = 0
                is_claimed = answered = False
                while not answered:
                    await arrived.wait(REPLY_POLL_INTERVAL if is_claimed else RETRY_INTERVAL)
                    taken = await self._relays.take(forwarded)
                    is_claimed = taken.is_claimed
                    for number, body in taken.replies:
                        if number <= read:
                            continue  # put again by who was not sure
                        read = number
                        reply = _parse(body)
                        answered = is_last(reply)
                        yield reply
            finally:
                await self._take_back(forwarded)

    async def _take_back(self, forwarded: ForwardedCallRef) -> None:
        try:
            async with asyncio.timeout(CLEANUP_TIMEOUT_SECONDS):
                await self._relays.end(forwarded)
        except (UnavailableError, TimeoutError) as error:
            log.warning("a relayed call is left behind", extra={"error": str(error)})


class Answering:
    """Answers what other replicas ask of one session's agent."""

    def __init__(self, calls: Calls, relays: ForwardedCalls, feeds: Feeds) -> None:
        self._calls = calls
        self._relays = relays
        self._feeds = feeds

    async def run(self, session: SessionRef) -> None:
        """Answer until cancelled; SupersededError when the session is not the latest."""
        cluster = session.cluster
        asked = Wakeup()
        with self._feeds.calls(cluster.org, cluster.name, asked):
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        claimed = await self._relays.claim(session)
                    except UnavailableError as error:
                        log.warning("could not look for calls", extra={"error": str(error)})
                        claimed = {}
                    for forwarded, request in claimed.items():
                        tasks.create_task(
                            self._answer(session, forwarded, request), name="link-relay"
                        )
                    await asked.wait(CALL_POLL_INTERVAL)

    async def _answer(
        self, session: SessionRef, forwarded: ForwardedCallId, request: bytes
    ) -> None:
        """Answer one call, for as long as somebody waits for it."""
        arrived, capacity = Wakeup(), Wakeup()
        ref = ForwardedCallRef(session.cluster.org, forwarded)
        with self._feeds.forwarded_call(forwarded, arrived):
            async with asyncio.TaskGroup() as tasks:
                forwarding = tasks.create_task(self._forward(session, forwarded, request, capacity))
                forwarding.add_done_callback(lambda _: arrived.wake())
                while not forwarding.done() and await self._has_caller(ref):
                    capacity.wake()
                    await arrived.wait(CALLER_POLL_INTERVAL)
                forwarding.cancel()

    async def _has_caller(self, forwarded: ForwardedCallRef) -> bool:
        try:
            return await self._relays.has_caller(forwarded)
        except UnavailableError:
            return True  # for all we know

    async def _forward(
        self, session: SessionRef, forwarded: ForwardedCallId, request: bytes, capacity: Wakeup
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
        session: SessionRef,
        forwarded: ForwardedCallId,
        number: int,
        body: bytes,
        capacity: Wakeup,
    ) -> bool:
        """Put a reply as soon as there is room for it; False when nobody waits any more."""
        while True:
            try:
                match await self._relays.put(session, forwarded, number, body):
                    case Put.PUT:
                        return True
                    case Put.NO_CALLER:
                        return False
                    case Put.FULL:
                        await capacity.wait(CALLER_POLL_INTERVAL)
            except UnavailableError as error:
                log.warning("could not relay a reply", extra={"error": str(error)})
                await capacity.wait(RETRY_INTERVAL)


def _render(reply: call_pb2.Reply) -> bytes:
    body = reply.SerializeToString()
    if len(body) > MAX_REPLY_BYTES:
        raise UnavailableError("the agent's reply is too large to be relayed")
    return body


def _parse(body: bytes) -> call_pb2.Reply:
    try:
        return call_pb2.Reply.FromString(body)
    except DecodeError as error:
        raise UnavailableError("a relayed reply cannot be read; try again") from error
