"""Exchanges the leases of attempts for access tokens, and keeps the tokens until they are renewed."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio

from dataplane.agent.core.attempt_tokens import (
    AttemptNotRunningError,
    AttemptToken,
    TokenUnavailableError,
)
from dataplane.agent.link.channel import Credential, DialError, open_channel
from shared.idl.agent.v1 import attempt_tokens_pb2, attempt_tokens_pb2_grpc
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.model.ids import AttemptId, LeaseId
from shared.wire.ids import render_lease

_TIMEOUT = timedelta(seconds=10)
_KEPT = 10_000
_NOT_NEEDED_FOR = timedelta(minutes=1)
"""How long the agent believes that the control plane has no logins."""
_NOT_RUNNING = (
    "the control plane has no running attempt of this lease on this cluster: it has ended, was"
    " stopped or runs elsewhere"
)


class AttemptTokens:
    """Calls one replica of the control plane after the other; concurrent callers of a lease wait for one call."""

    def __init__(
        self, addresses: Sequence[str], token: Credential, ca_file: Path | None, clock: Clock
    ) -> None:
        self._addresses = itertools.cycle(addresses)
        self._token = token
        self._ca_file = ca_file
        self._clock = clock
        self._kept: LruCache[LeaseId, AttemptToken] = LruCache(_KEPT)
        self._exchanging: dict[LeaseId, asyncio.Lock] = {}
        self._not_needed_until: datetime | None = None

    async def find(self, attempt: AttemptId, lease: LeaseId) -> AttemptToken | None:
        """
        Return a token of the attempt; None if the control plane has no logins.

        AttemptNotRunningError, TokenUnavailableError. While the control plane does not answer, a
        token that is due for renewal is returned until it expires.
        """
        if (found := self._find_fresh(lease)) is not None or self._is_not_needed():
            return found
        lock = self._exchanging.setdefault(lease, asyncio.Lock())
        try:
            async with lock:
                if (found := self._find_fresh(lease)) is not None or self._is_not_needed():
                    return found
                return await self._renew(attempt, lease)
        finally:
            if not lock.locked():
                self._exchanging.pop(lease, None)

    def _find_fresh(self, lease: LeaseId) -> AttemptToken | None:
        kept = self._kept.get(lease)
        return kept if kept is not None and self._clock.now() < kept.renew_at else None

    def _is_not_needed(self) -> bool:
        until = self._not_needed_until
        return until is not None and self._clock.now() < until

    async def _renew(self, attempt: AttemptId, lease: LeaseId) -> AttemptToken | None:
        try:
            reply = await self._exchange(attempt, lease)
        except TokenUnavailableError:
            kept = self._kept.get(lease)
            if kept is not None and self._clock.now() < kept.expires_at:
                return kept
            raise
        now = self._clock.now()
        if not reply.needed:
            self._not_needed_until = now + _NOT_NEEDED_FOR
            return None
        if not reply.tokens or not reply.tokens[0].running:
            self._kept.pop(lease, None)
            raise AttemptNotRunningError(_NOT_RUNNING)
        lives = timedelta(seconds=reply.tokens[0].expires_in_s)
        token = AttemptToken(
            SecretText(reply.tokens[0].access_token),
            renew_at=now + lives / 2,
            expires_at=now + lives,
        )
        self._kept[lease] = token
        return token

    async def _exchange(
        self, attempt: AttemptId, lease: LeaseId
    ) -> attempt_tokens_pb2.ExchangeReply:
        request = attempt_tokens_pb2.ExchangeRequest(leases=[render_lease(attempt, lease)])
        try:
            metadata = self._token.metadata()
            async with open_channel(next(self._addresses), self._ca_file, self._token) as channel:
                stub = attempt_tokens_pb2_grpc.AttemptTokenServiceStub(channel)  # type: ignore[no-untyped-call]
                reply: attempt_tokens_pb2.ExchangeReply = await stub.Exchange(
                    request, metadata=metadata, timeout=_TIMEOUT.total_seconds()
                )
        except DialError as error:
            raise TokenUnavailableError(str(error)) from error
        except grpc.aio.AioRpcError as error:
            code = error.code()
            if (
                code is grpc.StatusCode.UNIMPLEMENTED
            ):  # of an earlier release, without logins of tasks
                return attempt_tokens_pb2.ExchangeReply(needed=False)
            details = " ".join((error.details() or "it gave no reason").split())[:500]
            raise TokenUnavailableError(
                f"the control plane answers {code.name.lower()}: {details}"
            ) from error
        return reply
