"""AttemptTokenService: exchanges the leases of a cluster's running attempts for access tokens."""

import logging

import grpc
import grpc.aio

from controlplane.authn.signing_keys import NoSigningKeyError
from controlplane.core.errors import RequestError, UnavailableError
from controlplane.link.credentials import authenticate
from controlplane.link.errors import code_of
from controlplane.link.handlers import Unreadable
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.agents.identities import AgentIdentity
from controlplane.usecases.running_attempts import MAX_EXCHANGED, AttemptTokens
from shared.idl.agent.v1 import attempt_tokens_pb2, attempt_tokens_pb2_grpc
from shared.wire.fields import BadMessageError
from shared.wire.ids import parse_lease

log = logging.getLogger(__name__)


class AttemptTokenExchange(attempt_tokens_pb2_grpc.AttemptTokenServiceServicer):
    def __init__(self, agent_sessions: AgentSessions, tokens: AttemptTokens) -> None:
        self._agent_sessions = agent_sessions
        self._tokens = tokens

    async def Exchange(  # noqa: N802  # gRPC's name
        self,
        request: attempt_tokens_pb2.ExchangeRequest | Unreadable,
        context: "grpc.aio.ServicerContext[attempt_tokens_pb2.ExchangeRequest, attempt_tokens_pb2.ExchangeReply]",
    ) -> attempt_tokens_pb2.ExchangeReply:
        if isinstance(request, Unreadable):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(request.error))
        try:
            identity = await authenticate(self._agent_sessions, context)
            return await self._exchange(request, identity)
        except (BadMessageError, RequestError, UnavailableError) as error:
            await context.abort(code_of(error), str(error))
        except NoSigningKeyError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except Exception:
            # A bug: logged in full here; the agent gets no internals.
            log.exception("leases not exchanged")
            await context.abort(grpc.StatusCode.INTERNAL, "the control plane failed; see its log")

    async def _exchange(
        self, request: attempt_tokens_pb2.ExchangeRequest, identity: AgentIdentity
    ) -> attempt_tokens_pb2.ExchangeReply:
        leases = [parse_lease(each) for each in request.leases[: MAX_EXCHANGED + 1]]
        exchanged = await self._tokens.exchange(identity.cluster, leases)
        if exchanged is None:
            return attempt_tokens_pb2.ExchangeReply(needed=False)
        reply = attempt_tokens_pb2.ExchangeReply(needed=True)
        for each in exchanged:
            message = reply.tokens.add()
            if each.token is not None:
                message.running = True
                message.access_token = each.token.reveal()
                message.expires_in_s = int(each.expires_in.total_seconds())
        return reply
