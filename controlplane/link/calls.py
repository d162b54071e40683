"""
Questions to agents: each live session can be asked to follow a log.

A call's replies are bounded by the credit given, so a slow reader holds up its own call
and nothing else on the stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from itertools import count

from controlplane.core.errors import NotFoundError, UnavailableError
from controlplane.link.frames import render_call_cancel, render_call_credit, render_follow_logs
from shared.idl.agent.v1 import call_pb2, link_pb2
from shared.model.ids import AttemptId, ClusterName, OrgName
from shared.model.logs import LogLine
from shared.wire.errors import BadMessageError
from shared.wire.logs import parse_log_chunk

FIRST_CREDIT = 8
"""Chunks an agent may send before it is given more; the contract's number."""
MOST_CALLS = 256
"""Of one session at once, as the agent's own bound."""

Cluster = tuple[OrgName, ClusterName]


class Calls:
    """
    The calls of one session.

    ``send`` puts a frame on its stream, or raises UnavailableError when there is no room.
    """

    def __init__(self, send: Callable[[link_pb2.ControlFrame], None]) -> None:
        self._send = send
        self._ids = count(1)
        self._open: dict[int, asyncio.Queue[call_pb2.Reply | UnavailableError]] = {}
        self._is_over = False

    def take(self, reply: call_pb2.Reply) -> None:
        """Hand a reply to whoever asked; one that nobody waits for is passed over."""
        waiting = self._open.get(reply.id)
        if waiting is None:
            return
        if waiting.qsize() > FIRST_CREDIT:  # the chunks there was credit for, and the end
            del self._open[reply.id]
            waiting.put_nowait(UnavailableError("the agent sent more than was asked for"))
            return
        waiting.put_nowait(reply)

    def close(self) -> None:
        """Tell everybody who waits, and whoever comes late, that there will be no answer."""
        self._is_over = True
        for waiting in self._open.values():
            waiting.put_nowait(_went_away())

    async def follow_logs(
        self, attempt: AttemptId, after_line: int
    ) -> AsyncGenerator[Sequence[LogLine], None]:
        """Yield lines until the attempt is over."""
        if self._is_over:
            raise _went_away()
        if len(self._open) >= MOST_CALLS:
            raise UnavailableError("too many logs are being followed in this cluster; try again")
        call = next(self._ids)
        replies: asyncio.Queue[call_pb2.Reply | UnavailableError] = asyncio.Queue()
        self._send(render_follow_logs(call, attempt, after_line))
        self._open[call] = replies
        answered = False
        try:
            while True:
                reply = await replies.get()
                if isinstance(reply, UnavailableError):
                    raise reply
                match reply.WhichOneof("answer"):
                    case "log_chunk":
                        yield _parse_chunk(reply.log_chunk)
                        self._send(render_call_credit(call, 1))
                    case "done":
                        answered = True
                        return
                    case _:
                        answered = True
                        raise _refused(reply.error, attempt)
        finally:
            self._open.pop(call, None)
            if not answered and not self._is_over:
                with suppress(UnavailableError):  # then the session is about to end anyway
                    self._send(render_call_cancel(call))


def _parse_chunk(chunk: call_pb2.LogChunk) -> Sequence[LogLine]:
    try:
        return parse_log_chunk(chunk)
    except BadMessageError as error:
        raise UnavailableError(f"the agent sent a log that cannot be read: {error}") from error


def _went_away() -> UnavailableError:
    return UnavailableError("the cluster's agent went away; try again")


def _refused(error: call_pb2.CallError, attempt: AttemptId) -> Exception:
    if error.code == "not_found":
        return NotFoundError("log of attempt", attempt)
    return UnavailableError(f"the agent cannot follow the log of {attempt}: {error.message}")


class LiveCalls:
    """Which session of this replica serves which cluster; the latest one counts."""

    def __init__(self) -> None:
        self._by_cluster: dict[Cluster, Calls] = {}

    def add(self, cluster: Cluster, calls: Calls) -> None:
        self._by_cluster[cluster] = calls

    def remove(self, cluster: Cluster, calls: Calls) -> None:
        if self._by_cluster.get(cluster) is calls:
            del self._by_cluster[cluster]

    def follow_logs(
        self, org: OrgName, cluster: ClusterName, attempt: AttemptId, after_line: int
    ) -> AsyncGenerator[Sequence[LogLine], None]:
        """Yield lines past ``after_line``; UnavailableError when no agent is connected here."""
        calls = self._by_cluster.get((org, cluster))
        if calls is None:
            raise UnavailableError(f"the agent of cluster {cluster} is not connected; try again")
        return calls.follow_logs(attempt, after_line)
