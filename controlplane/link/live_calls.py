"""
Calls to agents over their live sessions, such as following a log.

A call's replies are bounded by the credit given, so a slow reader delays its own call only,
and nothing else on the stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from itertools import count

from controlplane.core.errors import UnavailableError
from controlplane.link.frames import render_call, render_call_cancel, render_call_credit
from shared.idl.agent.v1 import call_pb2, link_pb2
from shared.model.ids import ClusterName, OrgName

FIRST_CREDIT = 8
"""Chunks an agent may send before it is given more credit; part of the link protocol."""
MOST_CALLS = 256
"""Concurrent calls of one session; the agent has the same limit."""

Cluster = tuple[OrgName, ClusterName]


class Calls:
    """
    The calls of one session.

    ``send`` puts a frame on its stream, or raises UnavailableError when the queue is full.
    """

    def __init__(self, send: Callable[[link_pb2.ControlFrame], None]) -> None:
        self._send = send
        self._ids = count(1)
        self._open: dict[int, asyncio.Queue[call_pb2.Reply | UnavailableError]] = {}
        self._is_over = False

    def take(self, reply: call_pb2.Reply) -> None:
        """Pass a reply to its caller; drop one of a call that has ended."""
        waiting = self._open.get(reply.id)
        if waiting is None:
            return
        if waiting.qsize() > FIRST_CREDIT:  # the chunks there was credit for, and the end
            del self._open[reply.id]
            waiting.put_nowait(
                UnavailableError("the agent sent more replies than it had credit for")
            )
            return
        waiting.put_nowait(reply)

    def close(self) -> None:
        """Fail all open and all later calls with UnavailableError."""
        self._is_over = True
        for waiting in self._open.values():
            waiting.put_nowait(_disconnected())

    async def ask(self, request: call_pb2.Call) -> AsyncGenerator[call_pb2.Reply, None]:
        """Yield the agent's replies; the last is its ``done`` or its ``error``."""
        if self._is_over:
            raise _disconnected()
        if len(self._open) >= MOST_CALLS:
            raise UnavailableError("too many calls to this cluster's agent are open; try again")
        call = next(self._ids)
        replies: asyncio.Queue[call_pb2.Reply | UnavailableError] = asyncio.Queue()
        self._send(render_call(call, request))
        self._open[call] = replies
        answered = False
        try:
            while not answered:
                reply = await replies.get()
                if isinstance(reply, UnavailableError):
                    raise reply
                answered = is_last(reply)
                yield reply
                if not answered:
                    self._send(render_call_credit(call, 1))
        finally:
            self._open.pop(call, None)
            if not answered and not self._is_over:
                with suppress(UnavailableError):  # queue full: the session is about to end
                    self._send(render_call_cancel(call))


def is_last(reply: call_pb2.Reply) -> bool:
    """Return whether this reply ends its call; a kind of a later release ends it too."""
    return not reply.HasField("log_chunk")


def _disconnected() -> UnavailableError:
    return UnavailableError("the cluster's agent disconnected; try again")


class LiveCalls:
    """Finds the session of this replica that serves a cluster; the latest one counts."""

    def __init__(self) -> None:
        self._by_cluster: dict[Cluster, Calls] = {}

    def add(self, cluster: Cluster, calls: Calls) -> None:
        self._by_cluster[cluster] = calls

    def remove(self, cluster: Cluster, calls: Calls) -> None:
        if self._by_cluster.get(cluster) is calls:
            del self._by_cluster[cluster]

    def find(self, cluster: Cluster) -> Calls | None:
        """Return the calls of the cluster's session; None when this replica has none."""
        return self._by_cluster.get(cluster)
