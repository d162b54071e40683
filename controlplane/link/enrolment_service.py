"""EnrolmentService: gives an agent its first certificate for a join token, and later ones."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509

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
from shared.kit.outside_logs import OutsideLog
from shared.kit.secrets import SecretText
from shared.kit.timestamps import to_us
from shared.wire.fields import MAX_CODE_BYTES, BadMessageError, parse_words

log = logging.getLogger(__name__)
outside = OutsideLog(log)

AT_ONCE = 4
HOLD_SECONDS = 5.0
MOST_WAITING = 500
MAX_TOKEN_CHARACTERS = 200
ASK_AGAIN_MS = 5_000
MAX_BUNDLE_BYTES = 64 * 1024


def read_bundle(path: Path) -> bytes:
    """Read PEM certificates; OSError, ValueError."""
    with path.open("rb") as file:
        bundle = file.read(MAX_BUNDLE_BYTES + 1)
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise ValueError(f"it has more than {MAX_BUNDLE_BYTES} bytes")
    x509.load_pem_x509_certificates(bundle)
    return bundle


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
        ca_file: Path | None = None,
    ) -> None:
        """``ca_file``: CA certificates for agents, by which they verify the link."""
        self._enrolments = enrolments
        self._identities = identities
        self._sessions = sessions
        self._clock = clock
        self._api_endpoint = api_endpoint
        self._ca_file = ca_file
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
                ca_bundle=await self._read_ca_bundle(),
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
                ca_bundle=await self._read_ca_bundle(),
            )
        raise AssertionError("a failed call is aborted")

    async def _read_ca_bundle(self) -> bytes:
        """Return the CA certificates for agents; b"" if there are none, or they cannot be used."""
        if self._ca_file is None:
            return b""
        try:
            return await asyncio.to_thread(read_bundle, self._ca_file)
        except (OSError, ValueError) as error:
            fields = {"file": str(self._ca_file), "error": str(error)}
            log.error("CA certificates for agents not read", extra=fields)  # noqa: TRY400
            return b""

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
                outside.warning("agent enrolment refused", extra=fields)
            await context.abort(code, str(error))
        except grpc.aio.AbortError:
            raise
        except Exception:
            # A bug: logged in full here; the agent gets no internals.
            log.exception("agent enrolment failed")
            await context.abort(grpc.StatusCode.INTERNAL, "the control plane failed; see its log")
