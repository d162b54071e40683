"""
The HTTP server, as a service of our own loop: uvicorn without its hold on signals.

Why uvicorn: ``controlplane/api/DECISIONS.md``.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

STOP_SECONDS = 5
"""How long calls under way may take when we stop; streams were told to go elsewhere."""
IDLE_SECONDS = 75
"""How long a connection may say nothing between two calls; longer than proxies keep theirs."""


class _Server(uvicorn.Server):
    """Leaves signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    def __init__(
        self, application: ASGIApp, host: str, port: int, *, before_stop: Callable[[], None]
    ) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._before_stop = before_stop
        self._server = _Server(
            uvicorn.Config(
                application,
                access_log=False,
                lifespan="off",
                loop="none",
                log_config=None,
                server_header=False,
                proxy_headers=False,  # nobody in front of us is believed about who calls
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
                h11_max_incomplete_event_size=64 * 1024,
            )
        )

    async def run(self) -> None:
        """Serve until cancelled; then let calls end, and stop."""
        try:
            async with asyncio.TaskGroup() as tasks:
                served = tasks.create_task(
                    self._server.serve(sockets=[self._socket]), name="uvicorn"
                )
                try:
                    await asyncio.shield(served)
                except asyncio.CancelledError:
                    self._before_stop()
                    self._server.should_exit = True
                    await served
                    raise
        finally:
            self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    """Take the address now, so that a port in use is told before anything else starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
