"""ProbeService: tells an agent whether its link would open, and what it would be given."""

import grpc
import grpc.aio

from controlplane.core.errors import UnauthenticatedError, UnavailableError
from controlplane.core.layout import org_base
from controlplane.core.link_protocol import OLDEST_PROTOCOL, PROTOCOL
from controlplane.link.credentials import authenticate
from controlplane.link.handlers import Unreadable
from controlplane.usecases.agent_sessions import AgentSessions
from shared.idl.agent.v1 import probe_pb2, probe_pb2_grpc
from shared.kit.clock import Clock
from shared.kit.timestamps import to_us


class Probes(probe_pb2_grpc.ProbeServiceServicer):
    """Answers probes; checks the caller's credential only, and begins or ends no session."""

    def __init__(self, agent_sessions: AgentSessions, clock: Clock, *, blob_base: str) -> None:
        self._agent_sessions = agent_sessions
        self._clock = clock
        self._blob_base = blob_base

    async def Probe(  # noqa: N802  # gRPC's name
        self,
        request: probe_pb2.ProbeRequest | Unreadable,
        context: "grpc.aio.ServicerContext[probe_pb2.ProbeRequest, probe_pb2.ProbeReply]",
    ) -> probe_pb2.ProbeReply:
        if isinstance(request, Unreadable):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(request.error))
        try:
            cluster = (await authenticate(self._agent_sessions, context)).cluster
        except UnauthenticatedError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except UnavailableError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return probe_pb2.ProbeReply(
            org=cluster.org,
            cluster=cluster.name,
            protocol_min=OLDEST_PROTOCOL,
            protocol_max=PROTOCOL,
            server_time_us=to_us(self._clock.now()),
            storage_base=org_base(self._blob_base, cluster.org),
        )
