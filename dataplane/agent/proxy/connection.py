"""
Connections of the agent's HTTP servers: aiohttp's, with limits on their number and on heads.

aiohttp limits a line, a header and their number, but not their total size, waits for ever for a
request that has begun, and logs a traceback for bytes that are no request.
"""

import asyncio
import logging
import socket
import ssl
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from dataplane.agent.proxy import proxy_limits
from shared.kit.connections import Connections
from shared.kit.outside_logs import OutsideLog
from shared.kit.tls_listener import TlsListener

logger = logging.getLogger(__name__)
outside = OutsideLog(logger)

_REFUSAL = (
    "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
    "content-length: {length}\r\nconnection: close\r\n\r\n{sentence}"
)


async def listen(runner: web.AppRunner, address: str, connections: Connections) -> asyncio.Server:
    """
    Listen at ``host:port`` in the clear, with these limits; the caller runs ``connections``.

    ``runner`` is set up; the caller cleans it up.
    """
    server = _server_of(runner)
    loop = asyncio.get_running_loop()
    host, port = _split(address)
    return await loop.create_server(
        lambda: BoundedHandler(server, connections=connections, loop=loop), host, port, backlog=1024
    )


def listen_by_tls(
    runner: web.AppRunner, address: str, connections: Connections, context: ssl.SSLContext
) -> tuple[TlsListener, int]:
    """
    Bind ``host:port`` for TLS; the caller runs the listener and ``connections``.

    ``connections`` counts handshakes that are under way. Returns the port, too.
    """
    server = _server_of(runner)
    loop = asyncio.get_running_loop()
    host, port = _split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=1024)
    listening.setblocking(False)
    listener = TlsListener(
        listening,
        context,
        connections,
        lambda _alpn: BoundedHandler(server, connections=connections, loop=loop, is_counted=True),
        handshake_within=proxy_limits.HANDSHAKE_WITHIN.total_seconds(),
    )
    return listener, int(listening.getsockname()[1])


def _server_of(runner: web.AppRunner) -> web.Server:
    server = runner.server
    assert server is not None  # noqa: S101  # it is set up
    return server


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class BoundedHandler(RequestHandler):
    """``is_counted``: ``connections`` has counted it, before its TLS handshake."""

    __slots__ = (
        "_address",
        "_connections",
        "_head_bytes",
        "_is_counted",
        "_is_expected",
        "_payload",
        "_socket",
    )

    def __init__(
        self,
        server: web.Server,
        *,
        connections: Connections,
        loop: asyncio.AbstractEventLoop,
        is_counted: bool = False,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # none is written
            auto_decompress=False,
            keepalive_timeout=proxy_limits.IDLE_POD.total_seconds(),
            max_field_size=proxy_limits.HEADER_BYTES,
            max_line_size=proxy_limits.HEADER_BYTES,
            max_headers=proxy_limits.HEADERS,
        )
        self._connections = connections
        self._is_counted = is_counted
        self._address = ""
        self._head_bytes = 0  # of an incomplete head
        self._is_expected = False  # a head with a deadline is expected
        self._payload: Any = None  # of the last request
        self._socket: asyncio.Transport | None = None  # aiohttp forgets one that it closes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._socket = self.transport
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        reason = "" if self._is_counted else self._connections.enter(self._address)
        if reason:
            self._reject("503 Service Unavailable", f"{reason}; try again later", "connections")
        else:
            self._expect()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.leave(self, self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._force_close:
            return
        begun = self._request_count
        is_body = self._payload is not None and not self._payload.is_eof()
        super().data_received(data)
        if self._request_count != begun:
            self._payload = self._messages[-1][1] if self._messages else None
            self._head_bytes = 0
            self._expect_no_more()
        elif not is_body:
            self._wait_for_head(len(data))

    def _wait_for_head(self, received: int) -> None:
        self._head_bytes += received
        if self._head_bytes > proxy_limits.HEAD_BYTES:
            self._reject(
                "431 Request Header Fields Too Large",
                f"the request's head is larger than {proxy_limits.HEAD_BYTES} bytes",
                "head bytes",
            )
        elif not self._is_expected:
            self._expect()

    def expire(self) -> None:
        """Reject a request whose head came too slowly."""
        self._is_expected = False
        within = proxy_limits.HEAD_WITHIN.total_seconds()
        self._reject(
            "408 Request Timeout", f"the request's head did not come within {within:g} s", "head"
        )

    def force_close(self) -> None:
        """Close as aiohttp does, but once: CPython aborts no TLS transport that was closed twice."""
        if self.transport is not None and self.transport.is_closing():
            self.transport = None
        super().force_close()

    def abort(self) -> None:
        """Cut the connection: its client does not close it."""
        if self._socket is not None:
            self._socket.abort()

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone: nothing can be sent to it."""
        return self.transport is None or self.transport.is_closing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """
        Answer bytes that are no request, without a traceback: the fault is the client's.

        A client that went away while its answer was sent is no fault at all.
        """
        if isinstance(exc, ConnectionError) and self.is_lost:
            logger.debug(
                "client gone before its answer", extra={"peer": self._address, "error": str(exc)}
            )
            raise ConnectionResetError("the client has gone") from exc  # aiohttp ends its task
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        outside.info("request refused", extra={"peer": self._address, "detail": str(exc)[:200]})
        response = web.Response(status=status, text=f"not an HTTP/1.1 request: {message}\n")
        response.force_close()
        return response

    def _expect(self) -> None:
        self._is_expected = True
        self._connections.expect(self, self._loop.time() + proxy_limits.HEAD_WITHIN.total_seconds())

    def _expect_no_more(self) -> None:
        if self._is_expected:
            self._is_expected = False
            self._connections.expect_no_more(self)

    def _reject(self, status: str, sentence: str, limit: str) -> None:
        """Send an error response, unless another response is being sent, and close."""
        self._expect_no_more()
        self._connections.note_refusal(limit)
        transport = self.transport
        if transport is not None and not transport.is_closing():
            if self._current_request is None:
                text = f"{sentence}\n"
                answer = _REFUSAL.format(status=status, length=len(text), sentence=text)
                transport.write(answer.encode())
            transport.close()
        self.force_close()
