"""EnrolmentService: gives an agent its first certificate for a join token, and later ones."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from controlplane.core.errors import RequestError, UnauthenticatedError, UnavailableError
from controlplane.link.credentials import authenticate, read_peer
from controlplane.link.errors import code_of
from controlplane.link.handlers import Unreadable
from controlplane.usecases.agent_sessions import AgentSessions
from controlplane.usecases.agents.enrolment import Enrolments
from controlplane.usecases.agents.identities import AgentIdentities
from shared.idl.agent.v1 import enrolment_pb2
from shared.kit.admission import AdmissionLimiter
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.kit.timestamps import to_us
from shared.wire.fields import MAX_CODE_BYTES, BadMessageError, parse_words

log = logging.getLogger(__name__)

AT_ONCE = 4
HOLD_SECONDS = 5.0
MOST_WAITING = 500
MAX_TOKEN_CHARACTERS = 200
ASK_AGAIN_MS = 5_000


class Enrolling:
    """
    Serves Enrol and Renew, a few at a time.

    Nothing is locked out after failures, neither an address nor a cluster: tokens of 256 bits are
    not found by guessing, and a lock could be turned against another agent.
    """

    def __init__(
        self,
        enrolments: Enrolments,
        identities: AgentIdentities,
        sessions: AgentSessions,
        clock: Clock,
        *,
        api_endpoint: str,
    ) -> None:
        self._enrolments = enrolments
        self._identities = identities
        self._sessions = sessions
        self._clock = clock
        self._api_endpoint = api_endpoint
        self._admission = AdmissionLimiter(AT_ONCE, hold_at_most=HOLD_SECONDS)

    async def Enrol(  # noqa: N802  # gRPC's name
        self, request: enrolment_pb2.EnrolRequest | Unreadable, context: Any
    ) -> enrolment_pb2.EnrolReply:
        async with self._answering(context):
            if isinstance(request, Unreadable):
                raise request.error
            if not 0 < len(request.join_token) <= MAX_TOKEN_CHARACTERS:
                raise UnauthenticatedError("the join token is missing or too long")
            software = parse_words(request.software, MAX_CODE_BYTES)
            enrolled = await self._enrolments.enrol(
                SecretText(request.join_token),
                request.signing_request,
                peer=read_peer(context),
                software=software,
            )
            reply = enrolment_pb2.EnrolReply(
                org=enrolled.org,
                cluster=enrolled.cluster,
                server_time_us=to_us(self._clock.now()),
                api_endpoint=self._api_endpoint,
            )
            if enrolled.certificate is None:
                reply.waiting.key = enrolled.key
                reply.waiting.again_after_ms = ASK_AGAIN_MS
            else:
                reply.certificate.pem = enrolled.certificate.pem.encode()
                reply.certificate.expires_at_us = to_us(enrolled.certificate.expires_at)
            return reply
        raise AssertionError("a failed call is aborted")

    async def Renew(  # noqa: N802  # gRPC's name
        self, request: enrolment_pb2.RenewRequest | Unreadable, context: Any
    ) -> enrolment_pb2.RenewReply:
        async with self._answering(context):
            if isinstance(request, Unreadable):
                raise request.error
            identity = await authenticate(self._sessions, context)
            certificate = await self._identities.renew(identity, request.signing_request)
            return enrolment_pb2.RenewReply(
                certificate=enrolment_pb2.Certificate(
                    pem=certificate.pem.encode(), expires_at_us=to_us(certificate.expires_at)
                ),
                server_time_us=to_us(self._clock.now()),
            )
        raise AssertionError("a failed call is aborted")

    @asynccontextmanager
    async def _answering(self, context: Any) -> AsyncIterator[None]:
        """Wait for admission; abort the call with the status of an error."""
        if self._admission.waiting >= MOST_WAITING:
            text = "too many agents enrol at once; try again"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        try:
            async with self._admission.admitted():
                yield
        except (BadMessageError, RequestError, UnavailableError) as error:
            code = code_of(error)
            if code is grpc.StatusCode.UNAUTHENTICATED:
                fields = {"peer": read_peer(context), "error": str(error)}
                log.warning("agent enrolment refused", extra=fields)
            await context.abort(code, str(error))
        except grpc.aio.AbortError:
            raise
        except Exception:
            # A bug: logged in full here; the agent gets no internals.
            log.exception("agent enrolment failed")
            await context.abort(grpc.StatusCode.INTERNAL, "the control plane failed; see its log")
