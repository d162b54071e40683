"""
Renews the agent's certificate on the connection of its live session.

A third of the certificate's life after it was issued, or when the control plane asks, a new key is
made and its certificate is stored; then the session ends, and the next one confirms it.
"""

import asyncio
import logging
import random
from datetime import datetime, timedelta

import grpc
import grpc.aio

from dataplane.agent.link.enrolment import log_unreachable, warn_of_skew
from dataplane.agent.link.identity import Identity, IdentityError, make_key, make_request
from dataplane.agent.link.stream import Stream
from shared.idl.agent.v1 import enrolment_pb2, enrolment_pb2_grpc
from shared.kit.backoff import jittered
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_TIMEOUT = timedelta(seconds=20)
_RETRY_AFTER = timedelta(minutes=1)
_NOT_SOONER_THAN = timedelta(minutes=5)  # after the last one, whatever the clocks say
_LOOK_AGAIN = timedelta(hours=1)


class RenewedError(Exception):
    """A renewed certificate is stored: the session ends, so that the next one uses it."""


class Renewal:
    """Renews an identity's certificate; :meth:`run` for the length of each session."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self.identity = identity
        self._clock = clock
        self._renewed_at: float | None = None  # on the event loop's clock
        self._early = random.uniform(0.0, 0.1)  # noqa: S311 - spreads agents that enrolled together

    async def run(self, channel: grpc.aio.Channel, stream: Stream) -> None:
        """Confirm the certificate once welcomed; renew it when due, and raise RenewedError."""
        while not stream.welcomed:
            await stream.changed.wait(at_most=_LOOK_AGAIN)
        warn_of_skew(stream.skew)
        await self.identity.confirm()
        while True:
            await self._wait_until_due(stream)
            try:
                await self._renew(channel)
            except grpc.aio.AioRpcError as error:
                log_unreachable("renewal of the certificate", "the link", error)
            except IdentityError as error:
                logger.error("certificate not renewed", extra={"error": str(error)})  # noqa: TRY400
            else:
                raise RenewedError
            await self._clock.sleep(jittered(_RETRY_AFTER))

    async def _renew(self, channel: grpc.aio.Channel) -> None:
        key = await asyncio.to_thread(make_key)
        stub = enrolment_pb2_grpc.EnrolmentServiceStub(channel)  # type: ignore[no-untyped-call]
        reply = await stub.Renew(
            enrolment_pb2.RenewRequest(signing_request=make_request(key)),
            timeout=_TIMEOUT.total_seconds(),
        )
        await self.identity.add(key, reply.certificate.pem, reply.ca_bundle)
        self._renewed_at = asyncio.get_running_loop().time()
        logger.info("certificate renewed", extra={"serial": self.identity.chosen.serial})

    async def _wait_until_due(self, stream: Stream) -> None:
        while stream.renew_serial != self.identity.chosen.serial:
            wait = max(self._due_at() - (self._clock.now() + stream.skew), self._pause())
            if wait <= timedelta():
                return
            await stream.changed.wait(at_most=min(wait, _LOOK_AGAIN))

    def _due_at(self) -> datetime:
        held = self.identity.chosen
        return held.valid_from + (held.expires_at - held.valid_from) * (1 / 3 - self._early)

    def _pause(self) -> timedelta:
        """Return how long not to renew again, so that a wrong clock costs little."""
        if self._renewed_at is None:
            return timedelta()
        since = timedelta(seconds=asyncio.get_running_loop().time() - self._renewed_at)
        return _NOT_SOONER_THAN - since
