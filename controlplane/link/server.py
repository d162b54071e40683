"""
AgentLinkService, the gRPC service for agents: one bidirectional stream for each session.

The caller is authenticated by its certificate, or from the call's metadata, before a single frame
is read; a rejection is a frame, so that it can name the remedy.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio

from controlplane.core.errors import UnauthenticatedError, UnavailableError
from controlplane.core.link_timings import LinkTimings
from controlplane.feeds.feeds import Feeds
from controlplane.link.attempt_tokens_service import AttemptTokenExchange
from controlplane.link.connection_limits import LinkLimits
from controlplane.link.credentials import authenticate
from controlplane.link.enrolment_service import Enrolling
from controlplane.link.frames import render_frame
from controlplane.link.handlers import Unreadable, add_enrolment_handlers, add_handlers
from controlplane.link.live_calls import LiveCalls
from controlplane.link.metrics import LinkMetrics
from controlplane.link.probe_service import Probes
from controlplane.link.secrets_service import SecretDeliveries
from controlplane.link.session import CLOSED, SessionOverError, SessionStream
from controlplane.link.session_ends import (
    SUPERSEDED,
    describe_unauthenticated,
    first_end,
    first_of,
    require_identity,
)
from controlplane.link.tls import LinkTls
from controlplane.usecases.agent_sessions import (
    AgentSessionRef,
    AgentSessions,
    RefusedCertificateError,
    SupersededError,
)
from controlplane.usecases.agents.identities import AgentIdentity
from controlplane.usecases.forwarded_calls import ForwardedCalls
from shared.idl.agent.v1 import link_pb2, link_pb2_grpc
from shared.kit.admission import AdmissionLimiter
from shared.kit.clock import Clock
from shared.kit.log_context import log_fields
from shared.kit.outside_logs import OutsideLog
from shared.model.link_messages import Rejected
from shared.model.link_session import End
from shared.traces.spans import NO_SPANS, SpanRecorder

log = logging.getLogger(__name__)
outside = OutsideLog(log)

MAX_FRAME_BYTES = 32 * 1024 * 1024
HANDSHAKES_AT_ONCE = 8
HANDSHAKE_TIMEOUT_SECONDS = 2.0
REJECTION_TIMEOUT_SECONDS = 2.0
HANG_UP_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 5.0
LEAVE_A_SECOND = 500
"""Sessions ended per second when this replica stops, so that other replicas can keep up."""
LEAVE_SECONDS = 3.0
"""Longest that a session is kept when this replica stops; it leases nothing meanwhile."""
STOP_SECONDS = 6.0
"""Time after which streams that have not ended are cut."""

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    # Agents ping every 20 s; gRPC's default would close their connections for pinging too often.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.so_reuseport", 0),  # a port in use must be an error, not shared
)


class _GrpcPipe:
    """Adapts a servicer's context to the session's pipe."""

    def __init__(
        self, context: "grpc.aio.ServicerContext[link_pb2.AgentFrame, link_pb2.ControlFrame]"
    ) -> None:
        self._context = context
        self._frames: asyncio.Queue[tuple[link_pb2.ControlFrame, asyncio.Future[None]]] = (
            asyncio.Queue()
        )

    async def run(self) -> None:
        """
        Write frames, one after the other, until cancelled.

        A frame whose ``write`` was cancelled is written nevertheless: gRPC cannot take it back,
        and takes no other before it.
        """
        while True:
            frame, written = await self._frames.get()
            try:
                await self._context.write(frame)
            except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
                log.debug("frame not written", extra={"error": str(error)})
                if not written.done():
                    written.set_exception(SessionOverError(CLOSED))
            else:
                if not written.done():
                    written.set_result(None)

    async def read(self) -> link_pb2.AgentFrame | None:
        frame: object = await self._context.read()
        if isinstance(frame, Unreadable):
            raise frame.error
        return frame if isinstance(frame, link_pb2.AgentFrame) else None  # grpc.aio.EOF

    async def write(self, frame: link_pb2.ControlFrame) -> None:
        """Write a frame after those before it; SessionOverError when the call is over."""
        written = asyncio.get_running_loop().create_future()
        self._frames.put_nowait((frame, written))
        await written


class AgentLinkService(link_pb2_grpc.LinkServiceServicer):
    def __init__(
        self,
        *,
        agent_sessions: AgentSessions,
        feeds: Feeds,
        live: LiveCalls,
        forwarded_calls: ForwardedCalls,
        clock: Clock,
        timings: LinkTimings,
        metrics: LinkMetrics,
        spans: SpanRecorder = NO_SPANS,
    ) -> None:
        self._agent_sessions = agent_sessions
        self._feeds = feeds
        self._live = live
        self._forwarded_calls = forwarded_calls
        self._clock = clock
        self._timings = timings
        self._metrics = metrics
        self._spans = spans
        self._open_streams: dict[SessionStream, None] = {}  # an ordered set
        self._admission = AdmissionLimiter(
            HANDSHAKES_AT_ONCE, hold_at_most=HANDSHAKE_TIMEOUT_SECONDS
        )
        self._is_closing = False
        self._serving = 0
        self._drained = asyncio.Event()

    async def wait_until_drained(self) -> None:
        """Return once no call is served; gRPC's stop waits for streams, not for their handlers."""
        while self._serving:
            self._drained.clear()
            await self._drained.wait()

    def close(self) -> None:
        """
        Send every agent to another replica: sessions stop leasing, and end soon.

        They end one after the other, so that no replica is overrun; a single one ends at once.
        """
        self._is_closing = True
        spread = min(len(self._open_streams) / LEAVE_A_SECOND, LEAVE_SECONDS)
        for stream in self._open_streams:
            stream.leave(after=timedelta(seconds=random.uniform(0, spread)))  # noqa: S311

    async def Connect(  # noqa: N802  # gRPC's name
        self,
        _: object,
        context: "grpc.aio.ServicerContext[link_pb2.AgentFrame, link_pb2.ControlFrame]",
    ) -> None:
        self._serving += 1
        pipe = _GrpcPipe(context)
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(pipe.run(), name="link-pipe")
                await self._answer(pipe, context)
                writing.cancel()
        finally:
            self._serving -= 1
            self._drained.set()

    async def _answer(self, pipe: _GrpcPipe, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        """Serve the agent, and send it the reason when the session ends."""
        ends: list[End] = []
        served: list[AgentIdentity] = []  # the one, if it was authenticated
        try:
            await self._serve(pipe, context, served)
        except* SessionOverError as group:
            ends.append(first_end(group))
        except* SupersededError:
            ends.append(SUPERSEDED)
        except* UnavailableError as group:
            ends.append(End("unavailable", str(first_of(group))))
        except* Exception:
            # A bug: logged in full here; the agent gets no internals.
            log.exception("agent session failed")
            ends.append(End("internal", "the session failed; connect again"))
        for end in ends[:1]:  # outside the handlers, because they would wrap a cancellation
            if end is SUPERSEDED:
                end = await self._explain_superseded(context, served)  # noqa: PLW2901
            if end.code == "protocol":
                outside.warning("agent violated the link protocol", extra={"error": end.message})
            self._metrics.ended(end.code)
            await _reject(pipe, end)

    async def _explain_superseded(
        self, context: "grpc.aio.ServicerContext[Any, Any]", served: Sequence[AgentIdentity]
    ) -> End:
        """Return why the session was superseded: no cluster, a revoked credential, or another."""
        try:
            for identity in served:
                await self._agent_sessions.require_cluster(identity.cluster)
            await authenticate(self._agent_sessions, context, opens_session=True)
        except UnauthenticatedError as error:
            return describe_unauthenticated(error)
        except UnavailableError as error:
            log.debug("end of session not explained", extra={"error": str(error)})
        return SUPERSEDED

    async def _serve(
        self,
        pipe: _GrpcPipe,
        context: "grpc.aio.ServicerContext[Any, Any]",
        served: list[AgentIdentity],
    ) -> None:
        try:
            identity = await authenticate(self._agent_sessions, context, opens_session=True)
        except UnauthenticatedError as error:
            raise SessionOverError(describe_unauthenticated(error)) from error
        cluster = identity.cluster
        served.append(identity)
        with log_fields(lambda: {"org": cluster.org, "cluster": cluster.name}):
            await self._serve_agent(pipe, identity)

    async def _serve_agent(self, pipe: _GrpcPipe, identity: AgentIdentity) -> None:
        cluster = identity.cluster
        stream = SessionStream(
            pipe,
            agent_sessions=self._agent_sessions,
            feeds=self._feeds,
            live=self._live,
            forwarded_calls=self._forwarded_calls,
            clock=self._clock,
            timings=self._timings,
            metrics=self._metrics,
            spans=self._spans,
        )
        agent = await stream.greet()
        require_identity(identity, agent)
        async with self._admission.admitted() as handshake_done:
            try:
                session = await self._agent_sessions.open(cluster, agent, serial=identity.serial)
            except RefusedCertificateError as error:
                raise SessionOverError(describe_unauthenticated(error)) from error
            log_fields = {"cluster": cluster.name, "org": cluster.org, "epoch": session.epoch}
            log.info("agent connected", extra={**log_fields, "software": agent.software})
            self._open_streams[stream] = None
            if self._is_closing:
                stream.leave(after=timedelta())
            try:
                with self._metrics.session(agent.software):
                    await stream.run(session, handshake_done, until=identity.expires_at)
            finally:
                del self._open_streams[stream]
                log.info("agent disconnected", extra=log_fields)
                await self._close_session(session)

    async def _close_session(self, session: AgentSessionRef) -> None:
        """Record the end of the session; if that fails, missing heartbeats show it later."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._agent_sessions.close(session)
        except (UnavailableError, TimeoutError) as error:
            log.warning("end of agent session not recorded", extra={"error": str(error)})


async def _reject(pipe: _GrpcPipe, end: End) -> None:
    """Send the reason why the session ends, if the stream is still open and is read."""
    rejected = Rejected(
        end.code,
        end.message,
        end.retry,
        end_attempts=end.end_attempts,
        retry_after=end.retry_after,
    )
    try:
        async with asyncio.timeout(REJECTION_TIMEOUT_SECONDS):
            await pipe.write(render_frame(rejected))
    except (SessionOverError, TimeoutError) as error:
        log.debug("rejection not sent", extra={"code": end.code, "error": str(error)})
        return
    await _wait_for_hang_up(end)


async def _wait_for_hang_up(end: End) -> None:
    """
    Keep the call until the agent, which has read the reason, cancels it, which cancels this.

    gRPC's client drops frames that are unread when the status of their call arrives.
    """
    try:
        async with asyncio.timeout(HANG_UP_TIMEOUT_SECONDS):
            await asyncio.get_running_loop().create_future()
    except TimeoutError:
        log.debug("agent did not hang up", extra={"code": end.code})


class LinkServer:
    """
    gRPC on ``host:port``; ``start`` raises OSError when the port is taken.

    With ``tls``, that port demands client certificates, and ``enrolment_port`` takes calls without.
    """

    def __init__(
        self,
        service: AgentLinkService,
        probes: Probes,
        secrets: SecretDeliveries,
        host: str,
        port: int,
        *,
        tokens: AttemptTokenExchange,
        limits: LinkLimits | None = None,
        tls: LinkTls | None = None,
        enrolling: Enrolling | None = None,
        enrolment_port: int = 0,
    ) -> None:
        self._service = service
        self._tls = tls
        limits = limits or LinkLimits()
        self._server = grpc.aio.server(options=[*OPTIONS, *limits.as_options()])
        add_handlers(
            self._server,
            connect=service.Connect,
            probe=probes.Probe,
            fetch_secrets=secrets.Fetch,
            exchange_leases=tokens.Exchange,
        )
        if enrolling is not None:
            add_enrolment_handlers(self._server, enrol=enrolling.Enrol, renew=enrolling.Renew)
        self._host = f"[{host}]" if ":" in host else host
        self.port = port
        self.enrolment_port = enrolment_port

    async def start(self) -> None:
        if self._tls is None:
            self.port = self._listen(self.port, None)
        else:
            self.port = self._listen(self.port, self._tls.link_credentials())
            credentials = self._tls.enrolment_credentials()
            self.enrolment_port = self._listen(self.enrolment_port, credentials)
        await self._server.start()

    def _listen(self, port: int, credentials: grpc.ServerCredentials | None) -> int:
        address = f"{self._host}:{port}"
        try:
            if credentials is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}") from error

    async def run(self) -> None:
        """Serve until cancelled; then send the agents away and stop."""
        try:
            # gRPC's own wait_for_termination, when cancelled, cancels the future stop() waits for.
            await asyncio.get_running_loop().create_future()
        finally:
            self._service.close()
            await self._server.stop(STOP_SECONDS)
            await self._service.wait_until_drained()
