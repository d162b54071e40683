"""
Receives the answer of a login in a browser, on a port of loopback (RFC 8252).

The page that the browser ends on says how the login went, so it is answered once the code was
exchanged. A request with another ``state`` is not the login's: it gets an error, and the command
waits on.
"""

import hmac
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from controlplane.client.errors import ClientError

_PATH = "/callback"
_PAGE_WITHIN = 60.0  # seconds until the command has exchanged the code
_SLOW_CLIENT = 10.0  # seconds for a request
_TRIES = 20
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "connection": "close",
}


class Callback:
    """The browser's answer; ``answer`` sets the page that it shows."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters = parameters
        self.page: queue.Queue[tuple[HTTPStatus, str, str]] = queue.Queue(1)

    def succeed(self, message: str) -> None:
        self.page.put((HTTPStatus.OK, "Logged in", message))

    def fail(self, message: str) -> None:
        self.page.put((HTTPStatus.BAD_REQUEST, "The login failed", message))


class CallbackServer:
    """Listens on the port of ``redirect_uri``."""

    def __init__(self, port: int, received: "queue.Queue[Callback]") -> None:
        self._received = received
        self.redirect_uri = f"http://localhost:{port}{_PATH}"

    def wait(self, seconds: float) -> Callback:
        """Return the browser's answer; ClientError if there is none in time."""
        try:
            return self._received.get(timeout=seconds)
        except queue.Empty:
            raise ClientError(
                f"no login arrived from the browser within {seconds / 60:.0f} minutes; run the "
                "command again, with --device if the browser is on another machine"
            ) from None


@contextmanager
def listening(state: str, port: int = 0) -> Iterator[CallbackServer]:
    """Listen on ``localhost``, for IPv4 and IPv6; on a free port if it is 0."""
    received: queue.Queue[Callback] = queue.Queue()
    handler = _handler(state, received)
    servers = _bind(port, handler)
    threads = [
        threading.Thread(target=each.serve_forever, args=(0.1,), daemon=True) for each in servers
    ]
    try:
        for thread in threads:
            thread.start()
        yield CallbackServer(servers[0].server_port, received)
    finally:
        for server, thread in zip(servers, threads, strict=True):
            if thread.is_alive():
                server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True  # a page that is being sent reaches the browser
    allow_reuse_address = False  # no other program of this machine shares the port

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a browser that closes a connection is no error of the command."""


class _ServerV6(_Server):
    address_family: int = socket.AF_INET6


def _bind(port: int, handler: type[BaseHTTPRequestHandler]) -> list[_Server]:
    """
    Bind 127.0.0.1 and ::1, because a browser may take either for ``localhost``.

    A port that another program holds on one of the two is not used: it would get the code.
    """
    for _ in range(_TRIES):
        try:
            first = _Server(("127.0.0.1", port), handler)
        except OSError as error:
            raise _in_use(port, error) from error
        try:
            return [first, _ServerV6(("::1", first.server_port), handler)]
        except OSError as error:
            if not _has_ipv6():
                return [first]
            first.server_close()
            if port:
                raise _in_use(port, error) from error
    raise ClientError("no port of localhost is free; use `volary login --device`")


def _in_use(port: int, error: OSError) -> ClientError:
    return ClientError(
        f"port {port} of localhost cannot be used ({error.strerror}); choose another with "
        "--callback-port, or leave the option out for any free port"
    )


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _handler(state: str, received: "queue.Queue[Callback]") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout: ClassVar[float | None] = _SLOW_CLIENT
        server_version, sys_version = "volary-login", ""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path != _PATH:
                self._show(HTTPStatus.NOT_FOUND, "Not found", "There is no such page.")
                return
            values = parse_qs(url.query, keep_blank_values=True)
            parameters = {name: given[0] for name, given in values.items() if len(given) == 1}
            if not hmac.compare_digest(parameters.get("state", "").encode(), state.encode()):
                self._show(
                    HTTPStatus.BAD_REQUEST,
                    "Not this login",
                    "This page belongs to another login. Use the page that the command opened last.",
                )
                return
            callback = Callback(parameters)
            received.put(callback)
            try:
                self._show(*callback.page.get(timeout=_PAGE_WITHIN))
            except queue.Empty:
                self._show(
                    HTTPStatus.GATEWAY_TIMEOUT, "No result", "See the command in your terminal."
                )

        def _show(self, status: HTTPStatus, title: str, message: str) -> None:
            body = (
                f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}'
                f"</title><h1>{escape(title)}</h1><p>{escape(message)}</p></html>\n"
            ).encode()
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Print nothing: the request has the code in its address."""

    return Handler
