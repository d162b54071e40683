"""
One connection to a control plane: requests with a deadline and a limit on their answers.

Redirects are not followed, so that a token goes to the address that it was issued by and to no
other. Proxies are those of ``https_proxy`` and ``no_proxy``.
"""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from controlplane.client.addresses import Address, is_loopback
from controlplane.client.errors import ClientError, UnreachableError

CONNECT_SECONDS = 10.0
READ_SECONDS = 70.0
"""For each read: longer than the control plane works on a call, which is a minute."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024

_JSON = "application/json"
_STREAM = "application/connect+json"
_END_OF_STREAM = 2  # flag of an envelope (Connect)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; ``body`` is None if it is not a JSON object."""

    status: int
    body: Mapping[str, Any] | None
    retry_after: float = 0.0


class Connection:
    """Sends requests to one address, over one connection that is kept open."""

    def __init__(
        self, address: Address, ca_file: Path | None = None, *, timeout: float = READ_SECONDS
    ) -> None:
        self.address = address
        self._ca_file = ca_file
        self._timeout = timeout
        self._open: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def get(self, path: str) -> Answer:
        return self._exchange("GET", path, None, {})

    def post_form(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self._exchange("POST", path, urlencode(form).encode(), {**kind, **(headers or {})})

    def post_json(self, path: str, body: object, headers: Mapping[str, str]) -> Answer:
        sent = json.dumps(body).encode()
        return self._exchange("POST", path, sent, {"content-type": _JSON, **headers})

    def stream_json(
        self, path: str, body: object, headers: Mapping[str, str]
    ) -> Iterator[Mapping[str, Any] | Answer]:
        """
        Yield the messages of a server stream; an Answer at its end, if it was refused.

        The last envelope of a stream has an ``error`` if it failed.
        """
        sent = json.dumps(body).encode()
        envelope = b"\0" + len(sent).to_bytes(4, "big") + sent
        kind = {"content-type": _STREAM, "connect-protocol-version": "1"}
        with self._errors():
            response = self._send("POST", path, envelope, {**kind, **headers})
            if response.status != http.client.OK:
                yield _parse(response)
                return
            try:
                while True:
                    flags, message = _read_envelope(response)
                    if flags & _END_OF_STREAM:
                        error = message.get("error")
                        if error is not None:
                            yield Answer(http.client.OK, error)
                        return
                    yield message
            finally:
                self.close()  # the rest of an unfinished stream is not read

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        with self._errors():
            return _parse(self._send(method, path, body, headers))

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """
        Send a request, and return the response with its body unread.

        A server may close a connection that it kept open at the moment when it is used again:
        the request is then sent once more. Requests can be repeated (Volary's creates have an id).
        """
        headers = {"accept": _JSON, "user-agent": "volary-cli", **headers}
        if self._open is not None:
            try:
                self._open.request(method, path, body, dict(headers))
                return self._open.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
        self._open = self._connect()
        self._open.connect()
        self._open.sock.settimeout(self._timeout)
        self._open.request(method, path, body, dict(headers))
        return self._open.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        within = min(CONNECT_SECONDS, self._timeout)
        if self.address.is_plain:
            return http.client.HTTPConnection(host, port, timeout=within)
        context = self._tls()
        proxy = _find_proxy(host)
        if proxy is None:
            return http.client.HTTPSConnection(host, port, timeout=within, context=context)
        connection = http.client.HTTPSConnection(*proxy, timeout=within, context=context)
        connection.set_tunnel(host, port)
        return connection

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ClientError(f"CA file {self._ca_file} cannot be used: {error}") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the network into UnreachableError, and close the connection."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = _describe(error, self.address)
            raise UnreachableError(f"no answer from {self.address.url}: {reason}") from error
        except BaseException:
            self.close()  # its answer was not read to the end
            raise


def _describe(error: BaseException, address: Address) -> str:
    """Say why there was no answer, and what to do."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=62 | 64):
            return f"its certificate is not for {address.host} ({error.verify_message})"
        case ssl.SSLCertVerificationError(verify_code=9 | 10):
            return f"{error.verify_message}; check the clock of this machine and of the server"
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not trusted ({error.verify_message}); with a private CA, "
                "give its certificate with --ca-file"
            )
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
            return "it does not speak TLS on this port; check the port"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or error})"
        case socket.gaierror():
            return f"the name {address.host} cannot be resolved ({error.strerror})"
        case ConnectionRefusedError():
            return "connection refused; check the address, and that the control plane runs"
        case TimeoutError():
            return "it took too long; check the network, or try again"
        case http.client.RemoteDisconnected() | ConnectionResetError():
            return "it closed the connection; try again"
        case OSError():
            return error.strerror or str(error)
        case _:
            return f"its answer is not HTTP ({type(error).__name__})"


def _parse(response: http.client.HTTPResponse) -> Answer:
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise http.client.HTTPException("the answer is too large")
    wait = response.headers.get("retry-after", "")
    return Answer(
        response.status,
        _parse_object(body),
        float(wait) if wait.isascii() and wait.isdecimal() else 0.0,
    )


def _read_envelope(response: http.client.HTTPResponse) -> tuple[int, Mapping[str, Any]]:
    head = _read(response, 5)
    length = int.from_bytes(head[1:], "big")
    if length > MAX_ANSWER_BYTES:
        raise http.client.HTTPException("a message of the stream is too large")
    message = _parse_object(_read(response, length))
    if message is None:
        raise http.client.HTTPException("a message of the stream is not JSON")
    return head[0], message


def _read(response: http.client.HTTPResponse, length: int) -> bytes:
    read = response.read(length)
    if len(read) < length:
        raise http.client.IncompleteRead(read)
    return read


def _parse_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _find_proxy(host: str) -> tuple[str, int] | None:
    """Return the proxy for HTTPS to ``host``; None to connect directly."""
    if is_loopback(host) or not (os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")):
        return None
    from urllib.request import getproxies_environment, proxy_bypass  # noqa: PLC0415

    if proxy_bypass(host):
        return None
    try:
        parts = urlsplit(getproxies_environment().get("https", ""))
        if parts.scheme == "http" and parts.hostname:
            return parts.hostname, parts.port or 3128
    except ValueError:
        pass
    raise ClientError("https_proxy is not an address such as http://proxy.example.com:3128")
