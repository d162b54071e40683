"""
Minimal HTTP client for signed URLs; the only module that opens sockets.

Each thread keeps one connection per server. Nothing is retried here, except on a kept
connection that the server had closed when idle. Redirects are not followed: a signature is
for one host.
"""

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dataplane.copilot.deadlines import Deadline
from dataplane.copilot.errors import TransferRefusedError, TransientError

BUFFER_BYTES = 512 * 1024
_MARGIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Slice:
    """A request body: ``length`` bytes of an open file from ``start`` on."""

    file: int
    start: int
    length: int

    def chunks(self, buffer: memoryview) -> Iterator[memoryview]:
        """Read piece by piece into ``buffer``; TransferRefusedError if the file ends early."""
        at, end = self.start, self.start + self.length
        while at < end:
            count = os.preadv(self.file, [buffer[: min(len(buffer), end - at)]], at)
            if not count:
                raise TransferRefusedError("the file was truncated while it was being uploaded")
            yield buffer[:count]
            at += count


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes | Slice

    @property
    def target(self) -> str:
        path = self.url.path or "/"
        return f"{path}?{self.url.query}" if self.url.query else path

    def all_headers(self) -> Iterator[tuple[str, str]]:
        length = self.body.length if isinstance(self.body, Slice) else len(self.body)
        if length or self.method in {"PUT", "POST"}:
            yield "Content-Length", str(length)
        yield from self.headers.items()


class Answer:
    """A server's response; its body is read once, in chunks."""

    def __init__(self, server: str, response: http.client.HTTPResponse) -> None:
        self._server = server
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        return self._response.getheader(name, "")

    def chunks(self, buffer: memoryview) -> Iterator[memoryview]:
        """Yield the body's chunks in ``buffer``; TransientError if the body ends early."""
        expected, received = self._response.length, 0
        while True:
            with _breaking(self._server):
                count = self._response.readinto(buffer)
            if not count:
                break
            received += count
            yield buffer[:count]
        if expected is not None and received != expected:
            raise TransientError(
                f"{self._server} closed the connection after {received} of {expected} bytes"
            )

    def read(self, limit: int) -> bytes:
        """Return the body, or its first ``limit`` bytes."""
        with _breaking(self._server):
            return self._response.read(limit)

    @property
    def is_reusable(self) -> bool:
        return self._response.isclosed() and not self._response.will_close


@contextmanager
def _breaking(server: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise TransientError(f"{server} cannot be reached: {reason}") from error


class Connections:
    """Pool of connections, one per thread and server; ``ca_file`` adds to the system's CAs."""

    def __init__(
        self,
        deadline: Deadline,
        *,
        ca_file: Path | None = None,
        connect_seconds: float = 10,
        idle_seconds: float = 30,
    ) -> None:
        self._deadline = deadline
        self._ca_file = ca_file
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._mine = threading.local()
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = threading.Lock()

    @property
    def buffer(self) -> memoryview:
        """This thread's buffer; valid during one call."""
        if not hasattr(self._mine, "buffer"):
            self._mine.buffer = memoryview(bytearray(BUFFER_BYTES))
        found: memoryview = self._mine.buffer
        return found

    @contextmanager
    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | Slice = b""
    ) -> Iterator[Answer]:
        """
        Send a request; the response's body has to be read within the block.

        TransientError if the server cannot be reached or closes the connection early.
        """
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        kept: dict[str, http.client.HTTPConnection] = vars(self._mine).setdefault("kept", {})
        request = _Request(method, parts, headers, body)
        connection = kept.pop(server, None)
        response = None
        if connection is not None:
            with suppress(ConnectionError):  # the server closed it while idle
                response = self._exchange(connection, request)
        if connection is None or response is None:
            with _breaking(server):
                connection = self._open(parts)
                response = self._exchange(connection, request)
        answer = Answer(server, response)
        try:
            yield answer
        finally:
            if answer.is_reusable:
                kept[server] = connection
            else:
                connection.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        request: "_Request",
    ) -> http.client.HTTPResponse:
        connection.sock.settimeout(self._at_most(self._idle_seconds))
        try:
            connection.putrequest(request.method, request.target)
            for name, value in request.all_headers():
                connection.putheader(name, value)
            connection.endheaders()
            self._send(connection, request.body)
        except ConnectionError:
            # A server that rejects a body responds and closes; its response has the reason.
            with suppress(OSError, http.client.HTTPException):
                return connection.getresponse()
            connection.close()
            raise
        except BaseException:
            connection.close()
            raise
        return connection.getresponse()

    def _send(self, connection: http.client.HTTPConnection, body: bytes | Slice) -> None:
        if isinstance(body, bytes):
            if body:
                connection.send(body)
            return
        if not body.length:
            return
        if isinstance(connection.sock, ssl.SSLSocket):
            for chunk in body.chunks(self.buffer):
                connection.sock.sendall(chunk)
            return
        with os.fdopen(os.dup(body.file), "rb", buffering=0) as file:
            sent = connection.sock.sendfile(file, body.start, body.length)
        if sent != body.length:
            raise TransferRefusedError("the file was truncated while it was being uploaded")

    def _open(self, parts: SplitResult) -> http.client.HTTPConnection:
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise TransferRefusedError(f"a link to {parts.scheme}://{parts.netloc} is not http(s)")
        proxy = _proxy_for(parts)
        at = proxy or parts
        port = at.port or (80 if at.scheme == "http" else 443)
        connect_seconds = self._at_most(self._connect_seconds)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                at.hostname or "", port, timeout=connect_seconds, context=self._trust()
            )
        else:
            connection = http.client.HTTPConnection(
                at.hostname or "", port, timeout=connect_seconds
            )
        if proxy:
            connection.set_tunnel(parts.hostname, parts.port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _at_most(self, seconds: float) -> float:
        """Limit a timeout to the deadline plus 0.5 s; a timeout of 0 would mean non-blocking."""
        return min(seconds, self._deadline.left() + _MARGIN_SECONDS)

    def _trust(self) -> ssl.SSLContext:
        with self._tls_lock:
            if self._tls is None:
                self._tls = ssl.create_default_context()
                if self._ca_file is not None:
                    self._tls.load_verify_locations(self._ca_file)
            return self._tls


def _proxy_for(parts: SplitResult) -> SplitResult | None:
    """Return the proxy that the environment configures for this address."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    # Imported lazily: it adds half to the import time, and is rarely needed.
    from urllib.request import getproxies_environment, proxy_bypass  # noqa: PLC0415

    proxies = getproxies_environment()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or proxy_bypass(parts.netloc):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")
