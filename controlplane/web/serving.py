"""
Runs uvicorn as a service in our own event loop, without its signal handlers.

The reasons for uvicorn are in ``controlplane/api/DECISIONS.md``.
"""

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.web.connection import BoundedConnection
from controlplane.web.http2 import Http2Connection
from controlplane.web.http_limits import IDLE_SECONDS, HttpLimits
from shared.kit.connections import Connections
from shared.kit.tls_listener import TlsListener

logger = logging.getLogger(__name__)

STOP_SECONDS = 5
"""Time for open calls to end when this replica stops; streams were ended before."""
CLOSE_SECONDS = 1
"""Time for clients to close their connections after that; then the connections are cut."""
_OTHER_FILES = 512
"""Open files reserved for other uses than client connections: database, agents, logs."""


_LONGEST_PAUSE = 0.1
"""Seconds between two looks whether the last calls have ended."""


class StoppableServer(uvicorn.Server):
    """
    Leaves signal handling to the program, and stops as soon as its connections are closed.

    uvicorn looks ten times a second whether it is to stop, and stops in 0.2 seconds at best.
    """

    def __init__(self, config: uvicorn.Config, *, cut: Callable[[], None] = lambda: None) -> None:
        """``cut`` closes all connections at once, whatever their clients do."""
        super().__init__(config)
        self._cut = cut
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # sets the Date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await _until_empty(state.connections)
                await _until_empty(state.tasks)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            logger.warning(
                "calls cancelled, because they did not end", extra={"calls": len(state.tasks)}
            )
            self._cut()  # the SDK connects again; an answer that says "cancelled" would stop it
            await _until_empty(state.connections)
            for task in list(state.tasks):
                task.cancel()


async def _until_empty(collection: Collection[object]) -> None:
    pause = 0.001
    while collection:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class HttpServer:
    """Serves ``application`` on ``host:port``: by TLS if there is a context for it, or in the clear."""

    def __init__(
        self,
        application: ASGIApp,
        host: str,
        port: int,
        *,
        before_stop: Callable[[], None],
        limits: HttpLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits = limits or HttpLimits()
        self.connections = Connections(
            "http",
            most=_fit_open_files(limits.connections),
            most_per_address=limits.connections_per_address,
        )
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.tls: TlsListener | None = None
        if tls is not None:
            self.tls = TlsListener(
                self._socket,
                tls,
                self.connections,
                self._make_tls_connection,
                handshake_within=limits.head_within.total_seconds(),
            )
        self._before_stop = before_stop
        self._application = application
        self._server = StoppableServer(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                access_log=False,
                http=self._make_connection,  # type: ignore[arg-type]  # uvicorn only calls it
                ws="none",
                lifespan="off",
                loop="none",
                log_config=None,
                server_header=False,
                proxy_headers=False,  # X-Forwarded-For could be forged
                timeout_keep_alive=IDLE_SECONDS,
            ),
            cut=self.connections.cut,
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not self._server.should_exit:  # uvicorn would log it as a fault of the application
                raise

    def _make_connection(self, **uvicorns: Any) -> asyncio.Protocol:
        return BoundedConnection(limits=self._limits, connections=self.connections, **uvicorns)

    def _make_tls_connection(self, alpn: str) -> asyncio.Protocol:
        if alpn == "h2":
            return Http2Connection(
                config=self._server.config,
                server_state=self._server.server_state,
                limits=self._limits,
                connections=self.connections,
            )
        return self._make_connection(
            config=self._server.config,
            server_state=self._server.server_state,
            app_state={},
            is_counted=True,
        )

    async def run(self) -> None:
        """Serve until cancelled; then wait for open calls to end, and stop."""
        sockets = [self._socket] if self.tls is None else []  # uvicorn accepts, or TlsListener
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(self.connections.run(), name="http connections")]
                if self.tls is not None:
                    watching.append(tasks.create_task(self.tls.run(), name="TLS handshakes"))
                served = tasks.create_task(self._server.serve(sockets=sockets), name="uvicorn")
                try:
                    await asyncio.shield(served)
                except asyncio.CancelledError:
                    self._before_stop()
                    self.connections.close()
                    for each in watching[1:]:  # nothing would close what they hand over now
                        each.cancel()
                    self._server.stop()
                    await served
                    await self.connections.drain(CLOSE_SECONDS)
                    raise
                finally:
                    for each in watching:
                        each.cancel()
        finally:
            self._socket.close()


def _fit_open_files(connections: int) -> int:
    """Raise the limit of open files for these connections; returns how many connections fit."""
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return connections
    files = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if files == needed:
        return connections
    fitting = max(files - _OTHER_FILES, files // 2)
    logger.warning(
        "fewer connections than VOLARY_HTTP_CONNECTIONS: raise the limit of open files (ulimit -n)",
        extra={"configured": connections, "allowed": fitting, "open_files": files},
    )
    return fitting


def _listen(host: str, port: int) -> socket.socket:
    """Bind the address early, so that a port in use is an error before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol asyncio knows TCP, and sends an answer's head and body without a delay.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
