"""
Enrols the agent: a join token and a key made here become an identity.

The key is stored before it is sent, and the control plane answers the same key with the same
certificate, so every step may be repeated, by this process, a later one, or another replica.
"""

import hashlib
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio

from dataplane.agent.core.software import describe_software
from dataplane.agent.link.channel import AgentRefusedError, DialError, open_channel
from dataplane.agent.link.identity import (
    Document,
    Identity,
    IdentityChangedError,
    IdentityError,
    IdentityStore,
    make_key,
    make_request,
    parse_certificate,
    parse_document,
    render_document,
)
from shared.idl.agent.v1 import enrolment_pb2, enrolment_pb2_grpc
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.wire.fields import parse_timestamp

logger = logging.getLogger(__name__)

_TIMEOUT = timedelta(seconds=20)
_BACKOFF = Backoff(first=timedelta(seconds=1), at_most=timedelta(seconds=60), jitter=0.5)
_AGAIN_AT_LEAST, _AGAIN_AT_MOST = timedelta(seconds=1), timedelta(minutes=1)
SKEW_ALLOWED = timedelta(minutes=5)
_REFUSED = frozenset({
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """How this agent enrols; ``join_token_file`` None: it has to have an identity already."""

    store: IdentityStore
    addresses: Sequence[str]
    join_token_file: Path | None
    ca_file: Path | None
    clock: Clock

    async def open(self) -> Identity:
        """
        Return the stored identity, or enrol until there is one.

        A join token that the identity does not come from is used: it replaces the identity, or
        is refused and the identity stays. AgentRefusedError, IdentityError.
        """
        document = await self._load()
        token = self._read_token(is_required=not document.certificates)
        if token is None or (document.certificates and _digest(token) == document.token_digest):
            return Identity(self.store, document)
        try:
            return Identity(self.store, await self._enrol(token))
        except AgentRefusedError as error:
            document = await self._load()
            if not document.certificates:
                raise
            logger.error(  # noqa: TRY400  # the error's text is the whole story
                "join token refused, the identity before stays in use", extra={"error": str(error)}
            )
            return Identity(self.store, document)

    async def _enrol(self, token: SecretText) -> Document:
        document = await self._with_pending_key(token)
        request = enrolment_pb2.EnrolRequest(
            join_token=token.reveal(),
            signing_request=make_request(document.pending_key),
            software=describe_software(),
        )
        addresses = itertools.cycle(self.addresses)
        failures = 0
        while True:
            address = next(addresses)
            try:
                reply = await self._call(address, request)
            except grpc.aio.AioRpcError as error:
                if error.code() in _REFUSED:
                    raise AgentRefusedError(
                        f"the control plane at {address} does not enrol this agent: "
                        f"{_shorten(error.details())}"
                    ) from error
                failures += 1
                log_unreachable("enrolment", address, error)
                await self.clock.sleep(_BACKOFF.delay(failures))
                continue
            failures = 0
            warn_of_skew(parse_timestamp(reply.server_time_us) - self.clock.now())
            if reply.WhichOneof("result") == "certificate":
                return await self._finish(document, token, reply)
            logger.warning(
                "waiting for acceptance: run volary cluster accept on the control plane",
                extra={"cluster": reply.cluster, "org": reply.org, "key": reply.waiting.key},
            )
            again = timedelta(milliseconds=reply.waiting.again_after_ms)
            await self.clock.sleep(min(max(again, _AGAIN_AT_LEAST), _AGAIN_AT_MOST))

    async def _call(
        self, address: str, request: enrolment_pb2.EnrolRequest
    ) -> enrolment_pb2.EnrolReply:
        try:
            channel = open_channel(address, self.ca_file, encrypts=True)
        except DialError as error:
            raise AgentRefusedError(str(error)) from error
        async with channel:
            stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)  # type: ignore[no-untyped-call]
            reply = await stub.Enrol(request, timeout=_TIMEOUT.total_seconds())
        assert isinstance(reply, enrolment_pb2.EnrolReply)  # noqa: S101  # for the type
        return reply

    async def _finish(
        self, document: Document, token: SecretText, reply: enrolment_pb2.EnrolReply
    ) -> Document:
        enrolled = Document(
            org=reply.org,
            cluster=reply.cluster,
            api_endpoint=reply.api_endpoint,
            ca_bundle=reply.ca_bundle,
            certificates=(parse_certificate(document.pending_key, reply.certificate.pem),),
            token_digest=_digest(token),
        )
        try:
            await self.store.save(render_document(enrolled))
        except IdentityChangedError:
            found = await self._load()  # another replica of this agent has finished first
            if found.token_digest != enrolled.token_digest:
                raise IdentityError(f"{self.store} was written by another agent") from None
            return found
        logger.info(
            "enrolled",
            extra={
                "org": enrolled.org,
                "cluster": enrolled.cluster,
                "serial": enrolled.certificates[0].serial,
            },
        )
        return enrolled

    async def _with_pending_key(self, token: SecretText) -> Document:
        """Return the document with a key for this token, which is stored before it is used."""
        while True:
            document = await self._load()
            if document.pending_digest == _digest(token) and document.pending_key:
                return document
            pending = replace(document, pending_key=make_key(), pending_digest=_digest(token))
            try:
                await self.store.save(render_document(pending))
            except IdentityChangedError:
                continue
            return pending

    async def _load(self) -> Document:
        raw = await self.store.load()
        return Document() if raw is None else parse_document(raw, str(self.store))

    def _read_token(self, *, is_required: bool) -> SecretText | None:
        """Read the join token; None only if there is none and none is needed."""
        if self.join_token_file is None:
            if is_required:
                raise IdentityError(
                    "this agent has no identity yet; give it a join token with --join-token-file "
                    "(`volary cluster create` or `volary cluster join-token` prints one)"
                )
            return None
        try:
            text = self.join_token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            if not is_required:
                return None  # it has served its purpose, and may be deleted
            raise IdentityError(
                f"the join token's file {self.join_token_file} cannot be read; check "
                "--join-token-file"
            ) from error
        if text:
            return SecretText(text)
        if is_required:
            raise IdentityError(f"the join token's file {self.join_token_file} is empty")
        return None


def log_unreachable(what: str, address: str, error: grpc.aio.AioRpcError) -> None:
    """Log a call that failed without a refusal, with a remedy where TLS failed."""
    details = _shorten(error.details())
    if "SSL_ERROR_SSL" in details:
        details = (
            f"the certificate that {address} shows is not trusted; check --ca-file, and this "
            f"machine's clock: {details}"
        )
    logger.warning(
        "%s failed, trying again",
        what,
        extra={"address": address, "code": error.code().name.lower(), "detail": details},
    )


def warn_of_skew(skew: timedelta) -> None:
    """Log a warning if the control plane's clock is ahead or behind by more than is allowed."""
    if abs(skew) > SKEW_ALLOWED:
        side = "behind" if skew > timedelta() else "ahead of"
        logger.warning(
            "the clock of this machine is %s the control plane's by %s; set it by NTP",
            side,
            timedelta(seconds=round(abs(skew).total_seconds())),
        )


def _digest(token: SecretText) -> bytes:
    return hashlib.sha256(token.reveal().encode()).digest()


def _shorten(text: str | None) -> str:
    return " ".join((text or "it gave no reason").split())[:500]
