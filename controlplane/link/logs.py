"""Follows logs of attempts by calling their agents, on whichever replica those are connected."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from controlplane.core.errors import NotFoundError, UnavailableError
from controlplane.link.forwarded_calls import Agents
from controlplane.link.frames import render_follow_logs
from shared.idl.agent.v1 import call_pb2
from shared.model.ids import AttemptId, ClusterName, OrgName
from shared.model.logs import LogChunk
from shared.wire.fields import BadMessageError
from shared.wire.logs import parse_log_chunk


class AgentLogs:
    """Source of the logs of running attempts for ``usecases.logs``."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def follow_logs(
        self, org: OrgName, cluster: ClusterName, attempt: AttemptId, after_line: int
    ) -> AsyncGenerator[LogChunk, None]:
        """
        Yield lines past ``after_line``, and states of an unfinished one, until the attempt is over.

        NotFoundError: the agent has no such log (any more). UnavailableError: no agent.
        """
        asked = self._agents.ask((org, cluster), render_follow_logs(attempt, after_line))
        async with aclosing(asked) as replies:
            async for reply in replies:
                match reply.WhichOneof("answer"):
                    case "log_chunk":
                        yield _parse_chunk(reply.log_chunk)
                    case "done":
                        return
                    case _:
                        raise _refused(reply.error, attempt)


def _parse_chunk(chunk: call_pb2.LogChunk) -> LogChunk:
    try:
        return parse_log_chunk(chunk)
    except BadMessageError as error:
        raise UnavailableError(f"the agent sent a log that cannot be read: {error}") from error


def _refused(error: call_pb2.CallError, attempt: AttemptId) -> Exception:
    if error.code == "not_found":
        return NotFoundError("log of attempt", attempt)
    return UnavailableError(f"the agent cannot follow the log of {attempt}: {error.message}")
