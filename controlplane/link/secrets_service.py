"""SecretsService: hands an agent the secrets of an attempt that is leased to its cluster."""

import logging

import grpc
import grpc.aio

from controlplane.core.errors import RequestError, UnavailableError
from controlplane.link.credentials import authenticate
from controlplane.link.errors import code_of
from controlplane.link.handlers import Unreadable
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.agents.identities import AgentIdentity
from controlplane.usecases.secrets import MAX_ASKED, Secrets
from shared.idl.agent.v1 import secrets_pb2, secrets_pb2_grpc
from shared.wire.fields import BadMessageError
from shared.wire.ids import parse_attempt_id, parse_lease_id
from shared.wire.secrets import render_sealed_secret

log = logging.getLogger(__name__)


class SecretDeliveries(secrets_pb2_grpc.SecretsServiceServicer):
    def __init__(self, agent_sessions: AgentSessions, secrets: Secrets) -> None:
        self._agent_sessions = agent_sessions
        self._secrets = secrets

    async def Fetch(  # noqa: N802  # gRPC's name
        self,
        request: secrets_pb2.FetchSecretsRequest | Unreadable,
        context: "grpc.aio.ServicerContext[secrets_pb2.FetchSecretsRequest, secrets_pb2.FetchSecretsReply]",
    ) -> secrets_pb2.FetchSecretsReply:
        if isinstance(request, Unreadable):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(request.error))
        try:
            identity = await authenticate(self._agent_sessions, context)
            return await self._fetch(request, identity)
        except (BadMessageError, RequestError, UnavailableError) as error:
            await context.abort(code_of(error), str(error))
        except Exception:
            # A bug: logged in full here; the agent gets no internals.
            log.exception("secrets not delivered")
            await context.abort(grpc.StatusCode.INTERNAL, "the control plane failed; see its log")

    async def _fetch(
        self, request: secrets_pb2.FetchSecretsRequest, identity: AgentIdentity
    ) -> secrets_pb2.FetchSecretsReply:
        cluster = identity.cluster
        attempt, lease = parse_attempt_id(request.attempt), parse_lease_id(request.lease_id)
        names = request.names[: MAX_ASKED + 1]
        reply = secrets_pb2.FetchSecretsReply()
        if names:
            found = await self._secrets.deliver(cluster, attempt, lease, names)
            reply.secrets.extend(map(render_sealed_secret, found))
        if request.image_pull:
            found = await self._secrets.deliver_image_pull(cluster, attempt, lease)
            reply.image_pull.extend(map(render_sealed_secret, found))
        return reply
