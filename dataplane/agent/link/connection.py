"""
Keeps the agent connected: runs one session after the other until the agent stops.

The wait between two sessions backs off exponentially with jitter, so that ten thousand
agents do not reconnect in the same second; a session that was welcomed resets it. Only this
module decides when to dial again; nothing above it retries.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import tenacity

from dataplane.agent.core import link_limits
from dataplane.agent.core.software import describe_software
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.channel import (
    AgentRefusedError,
    Credential,
    DialError,
    open_channel,
)
from dataplane.agent.link.handler import SessionHandler
from dataplane.agent.link.renewal import Renewal, RenewedError
from dataplane.agent.link.stream import Stream
from shared.idl.agent.v1 import link_pb2, link_pb2_grpc
from shared.kit.backoff import Backoff, jittered
from shared.kit.cancellation import check_cancellation
from shared.kit.clock import Clock
from shared.model.link_messages import Hello
from shared.model.link_session import End

logger = logging.getLogger(__name__)

PROTOCOL = 1
_BACKOFF = Backoff(first=link_limits.RECONNECT_FIRST, at_most=link_limits.RECONNECT_AT_MOST)
_STAY_AWAY_JITTER = 0.2
RENEWED = End("renewed", "the certificate was renewed")


@dataclass(frozen=True, slots=True)
class _Outcome:
    end: End
    served: bool  # it was welcomed: the next dial need not back off


class Connection:
    """Dials an address, runs a session, then dials the next address, round-robin."""

    def __init__(
        self,
        *,
        addresses: Sequence[str],
        token: Credential,
        ca_file: Path | None,
        capabilities: Callable[[], Sequence[str]],
        ledger: Ledger,
        handler: SessionHandler,
        clock: Clock,
        secrets_key: bytes = b"",
        renewal: Renewal | None = None,
    ) -> None:
        """``renewal``: of the certificate, if ``token`` is one."""
        # A random start, so that not every agent dials the same replica first.
        self._addresses = deque(addresses)
        self._addresses.rotate(random.randrange(len(addresses)))  # noqa: S311 - keeps no secret
        self._token = token
        self._ca_file = ca_file
        self._capabilities = capabilities
        self._ledger = ledger
        self._handler = handler
        self._clock = clock
        self._secrets_key = secrets_key
        self._renewal = renewal
        self._identity = None if renewal is None else renewal.identity
        self._instance_id = str(uuid4())

    async def run(self) -> None:
        """Reconnect until cancelled; raise AgentRefusedError if the control plane rejects for good."""
        until_served = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_result(lambda outcome: not outcome.served),
            wait=_BACKOFF.wait,
            sleep=self._sleep,
        )
        while True:
            await until_served(self._run_session)
            await self._clock.sleep(jittered(link_limits.RECONNECT_SPREAD))

    async def _run_session(self) -> _Outcome:
        address = self._addresses[0]
        self._addresses.rotate(-1)
        end, welcomed = await self._dial(address)
        fields = {"code": end.code, "detail": end.message, "address": address}
        if end.code == RENEWED.code:
            logger.info("reconnecting with the renewed certificate", extra=fields)
            return _Outcome(end, served=True)
        if (
            self._identity is not None
            and not welcomed
            and self._identity.try_another(is_refused=not end.retry)
        ):
            logger.warning("dialling with the other certificate", extra=fields)
            return _Outcome(end, served=False)
        if end.end_attempts:
            ended, remaining = await self._handler.end_attempts()
            counts = {"ended": ended, "remaining": remaining}
            logger.error("attempts ended, this agent was expelled", extra={**fields, **counts})
        if end.retry_after is not None:
            wait = {"again_in_seconds": int(end.retry_after.total_seconds())}
            logger.error("staying away from the control plane", extra={**fields, **wait})
            await self._clock.sleep(jittered(end.retry_after, _STAY_AWAY_JITTER))
            return _Outcome(end, served=False)
        if not end.retry:
            raise AgentRefusedError(f"the control plane rejected this agent: {end.message}")
        if end.code == "superseded":
            logger.error("session superseded by another agent of this cluster", extra=fields)
            return _Outcome(end, served=False)
        logger.warning("disconnected from the control plane", extra=fields)
        return _Outcome(end, served=welcomed)

    async def _dial(self, address: str) -> tuple[End, bool]:
        try:
            metadata = self._token.metadata()
            channel = open_channel(address, self._ca_file, self._token)
        except DialError as error:
            return End("dial", str(error)), False
        end = End("unknown", "the call ended without a status")
        async with channel:
            stub = link_pb2_grpc.LinkServiceStub(channel)  # type: ignore[no-untyped-call]
            call = stub.Connect(metadata=metadata)
            stream = Stream(_Call(call), self._handler, self._clock)
            try:
                end = await self._run_stream(stream, channel)
            except* RenewedError:
                end = RENEWED
            except* grpc.aio.AioRpcError as group:
                end = _describe(group)
            except* asyncio.InvalidStateError:
                end = await _read_status(call)
            finally:
                call.cancel()
        check_cancellation()  # it may have arrived while the stream broke
        return end, stream.welcomed

    async def _run_stream(self, stream: Stream, channel: grpc.aio.Channel) -> End:
        if self._renewal is None:
            return await stream.run(self._hello())
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(self._renewal.run(channel, stream), name="link.renewal")
            end = await stream.run(self._hello())
            renewing.cancel()
        return end

    def _hello(self) -> Hello:
        return Hello(
            agent_id=self._ledger.agent_id,
            instance_id=self._instance_id,
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            software=describe_software(),
            capabilities=self._capabilities(),
            last_epoch=self._ledger.last_epoch,
            secrets_key=self._secrets_key,
            org="" if self._identity is None else self._identity.org,
            cluster="" if self._identity is None else self._identity.cluster,
        )

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(timedelta(seconds=seconds))


class _Call:
    """A gRPC call as a :class:`Pipe`."""

    def __init__(self, call: "grpc.aio.StreamStreamCall[link_pb2.AgentFrame, Any]") -> None:
        self._call = call

    async def write(self, frame: link_pb2.AgentFrame) -> None:
        await self._call.write(frame)

    async def frames(self) -> AsyncIterator[link_pb2.ControlFrame]:
        while isinstance(frame := await self._call.read(), link_pb2.ControlFrame):
            yield frame


def _describe(group: BaseExceptionGroup[grpc.aio.AioRpcError]) -> End:
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _describe(first)
    return End(first.code().name.lower(), first.details() or "the call failed")


async def _read_status(call: "grpc.aio.StreamStreamCall[Any, Any]") -> End:
    """Return the status of a call that had already ended when the stream wrote to it."""
    code = await call.code()
    return End(code.name.lower(), await call.details() or "the call had already ended")
