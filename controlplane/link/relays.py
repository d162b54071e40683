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
from controlplane.core.relays import MAX_REPLY_BYTES, RelayId, RelayRef
from controlplane.feeds.feeds import Feeds
from controlplane.link.calls import Calls, Cluster, LiveCalls, is_last
from controlplane.usecases.relays import Put, Relays
from controlplane.usecases.sessions import SessionRef
from shared.idl.agent.v1 import call_pb2
from shared.kit.waking import Bell

log = logging.getLogger(__name__)

# How often each looks without being told. Callers give up long before sessions look.
LOOK_FOR_CALLS = timedelta(seconds=60)
LOOK_FOR_REPLIES = timedelta(seconds=2)
LOOK_WHETHER_WANTED = timedelta(seconds=5)
LOOK_AGAIN = timedelta(milliseconds=500)  # while nobody has taken the call, or the store is away
GOODBYE_SECONDS = 5.0  # to take a call back; after that the pass over forgotten ones does it


class Agents:
    """Every agent that is connected to any replica."""

    def __init__(self, live: LiveCalls, relays: Relays, feeds: Feeds) -> None:
        self._live = live
        self._relays = relays
        self._feeds = feeds

    async def ask(
        self, cluster: Cluster, wish: call_pb2.Call
    ) -> AsyncGenerator[call_pb2.Reply, None]:
        """
        Yield the agent's replies; the last is its ``done`` or its ``error``.

        UnavailableError: no replica has the agent, or the one that had it is gone.
        """
        here = self._live.find(cluster)
        asked = self._relayed(cluster, wish) if here is None else here.ask(wish)
        async with aclosing(asked) as replies:
            async for reply in replies:
                yield reply

    async def _relayed(
        self, cluster: Cluster, wish: call_pb2.Call
    ) -> AsyncGenerator[call_pb2.Reply, None]:
        org, name = cluster
        relay = self._relays.new(org)
        news = Bell()
        with self._feeds.relay(relay.id, news):
            try:
                await self._relays.ask(relay, name, wish.SerializeToString())
                read = 0
                is_claimed = answered = False
                while not answered:
                    await news.wait(LOOK_FOR_REPLIES if is_claimed else LOOK_AGAIN)
                    taken = await self._relays.take(relay)
                    is_claimed = taken.is_claimed
                    for number, body in taken.replies:
                        if number <= read:
                            continue  # put again by who was not sure
                        read = number
                        reply = _parse(body)
                        answered = is_last(reply)
                        yield reply
            finally:
                await self._take_back(relay)

    async def _take_back(self, relay: RelayRef) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._relays.end(relay)
        except (UnavailableError, TimeoutError) as error:
            log.warning("a relayed call is left behind", extra={"error": str(error)})


class Answering:
    """Answers what other replicas ask of one session's agent."""

    def __init__(self, calls: Calls, relays: Relays, feeds: Feeds) -> None:
        self._calls = calls
        self._relays = relays
        self._feeds = feeds

    async def run(self, session: SessionRef) -> None:
        """Answer until cancelled; SupersededError when the session is not the latest."""
        cluster = session.cluster
        asked = Bell()
        with self._feeds.calls(cluster.org, cluster.name, asked):
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        claimed = await self._relays.claim(session)
                    except UnavailableError as error:
                        log.warning("could not look for calls", extra={"error": str(error)})
                        claimed = {}
                    for relay, wish in claimed.items():
                        tasks.create_task(self._answer(session, relay, wish), name="link-relay")
                    await asked.wait(LOOK_FOR_CALLS)

    async def _answer(self, session: SessionRef, relay: RelayId, wish: bytes) -> None:
        """Answer one call, for as long as somebody waits for it."""
        news, room = Bell(), Bell()
        ref = RelayRef(session.cluster.org, relay)
        with self._feeds.relay(relay, news):
            async with asyncio.TaskGroup() as tasks:
                forwarding = tasks.create_task(self._forward(session, relay, wish, room))
                forwarding.add_done_callback(lambda _: news.ring())
                while not forwarding.done() and await self._is_wanted(ref):
                    room.ring()
                    await news.wait(LOOK_WHETHER_WANTED)
                forwarding.cancel()

    async def _is_wanted(self, relay: RelayRef) -> bool:
        try:
            return await self._relays.is_wanted(relay)
        except UnavailableError:
            return True  # for all we know

    async def _forward(self, session: SessionRef, relay: RelayId, wish: bytes, room: Bell) -> None:
        number = 0
        try:
            async with aclosing(self._calls.ask(call_pb2.Call.FromString(wish))) as replies:
                async for reply in replies:
                    number += 1
                    if not await self._put(session, relay, number, _render(reply), room):
                        return
        except UnavailableError as error:
            refusal = call_pb2.CallError(code="unavailable", message=str(error))
            body = call_pb2.Reply(error=refusal).SerializeToString()
            await self._put(session, relay, number + 1, body, room)

    async def _put(
        self, session: SessionRef, relay: RelayId, number: int, body: bytes, room: Bell
    ) -> bool:
        """Put a reply as soon as there is room for it; False when nobody waits any more."""
        while True:
            try:
                match await self._relays.put(session, relay, number, body):
                    case Put.PUT:
                        return True
                    case Put.GONE:
                        return False
                    case Put.FULL:
                        await room.wait(LOOK_WHETHER_WANTED)
            except UnavailableError as error:
                log.warning("could not relay a reply", extra={"error": str(error)})
                await room.wait(LOOK_AGAIN)


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
