"""
HTTP/1.1 connections with size limits and deadlines: uvicorn's httptools protocol, bounded.

httptools buffers a header until it is complete, however long that takes and however large it
gets. So bytes are counted before they are fed to the parser, at most the allowed size of a
head is fed, and :class:`~shared.kit.connections.Connections` ends connections that are too slow.
"""

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from controlplane.web.http2 import PREFACE, Http2Connection
from controlplane.web.http_limits import IDLE_SECONDS, HttpLimits
from shared.kit.connections import Connections

_MAX_PIPELINED = 32  # requests received before an earlier one was answered
_MAX_DISCARDED_BYTES = 4 * 1024 * 1024  # read after the answer, then the connection is reset
_LINGER_SECONDS = 2.0  # for the client of a refused request to stop sending


class _Awaited(Enum):
    """The part of a request that comes next on a connection."""

    HEAD = auto()
    BODY = auto()
    REQUEST = auto()  # the last one is complete


class _RequestRefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str, limit: str) -> None:
        super().__init__(message)
        self.status = status
        self.limit = limit


class _Reader:
    """The deadline of a client that has stopped reading an answer; a request's is another."""

    def __init__(self, connection: "BoundedConnection") -> None:
        self._connection = connection

    def expire(self) -> None:
        self._connection.cut_unread()


class BoundedConnection(HttpToolsProtocol):
    """
    One connection; one that begins with HTTP/2's preface becomes an :class:`Http2Connection`.

    ``is_counted``: ``connections`` has counted it, before its TLS handshake.
    """

    def __init__(
        self,
        *uvicorns: Any,
        limits: HttpLimits,
        connections: Connections,
        is_counted: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(*uvicorns, **more)
        self._is_counted = is_counted
        self._limits = limits
        self._connections = connections
        self._address = ""
        self._awaited = _Awaited.REQUEST
        self._begun = 0  # requests whose head has begun
        self._head_bytes = 0  # of an incomplete head
        self._body_bytes = 0  # received since the head was complete
        self._got_body = False  # the last feed contained body bytes
        self._since_body = 0  # bytes since the last body bytes: trailers and the like
        self._discarded = 0
        self._is_expected = False  # has a deadline
        self._reader = _Reader(self)
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connections.add(self)
        self._address = self.client[0] if self.client else ""  # a Unix socket has none
        reason = "" if self._is_counted else self._connections.enter(self._address)
        if reason:
            limit = "CONNECTIONS_PER_ADDRESS" if "from" in reason else "CONNECTIONS"
            self._error_response(
                _RequestRefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"{reason} (VOLARY_HTTP_{limit}); close some, or try again later",
                    limit,
                )
            )
        else:
            self._expect(self._limits.head_within.total_seconds())

    def pause_writing(self) -> None:
        super().pause_writing()
        deadline = self.loop.time() + self._limits.read_within.total_seconds()
        self._connections.expect(self._reader, deadline)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connections.expect_no_more(self._reader)

    def cut_unread(self) -> None:
        """Cut the connection: the client has read nothing for too long."""
        self._connections.note_refusal("READ_SECONDS")
        self.transport.abort()

    def shutdown(self) -> None:
        """Close when idle, but once: CPython aborts no TLS transport that was closed twice."""
        if not self.transport.is_closing():
            super().shutdown()

    def abort(self) -> None:
        """Cut the connection: its client does not close it."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.expect_no_more(self._reader)
        self._connections.leave(self, self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._discard(len(data))
            return
        if not self._begun and data.startswith(PREFACE):
            self._become_http2(data)
            return
        try:
            # The usual case first: no more data than a head may have.
            if self._head_bytes + len(data) <= self._limits.head_bytes or self._is_in_body:
                self._feed(data)
            else:
                self._feed_at_most_a_head(data)
        except _RequestRefusedError as error:
            self._error_response(error)

    def _become_http2(self, data: bytes) -> None:
        self._expect_no_more()
        self.connections.discard(self)  # uvicorn's; ours goes on counting it
        http2 = Http2Connection(
            config=self.config,
            server_state=self.server_state,
            limits=self._limits,
            connections=self._connections,
        )
        self.transport.set_protocol(http2)
        self._connections.replace(self, http2)
        http2.connection_made(self.transport)
        http2.data_received(data)

    def _feed_at_most_a_head(self, data: bytes) -> None:
        """Feed the parser at most the allowed size of a head, then the rest."""
        room = self._limits.head_bytes - self._head_bytes
        self._feed(data[:room])
        self._feed(data[room:])

    def _feed(self, data: bytes) -> None:
        number = self._begun + (self._awaited is _Awaited.REQUEST)
        self._got_body = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            refused = error.__context__
            if isinstance(refused, _RequestRefusedError):
                raise refused from None
            raise _bad_request("its target or a header cannot be read") from error
        except httptools.HttpParserUpgrade:
            pass  # upgrades are not supported; the request is answered over HTTP/1.1
        except httptools.HttpParserError as error:
            raise _bad_request(str(error)) from error
        if self._awaited is not _Awaited.REQUEST:
            self._count_incomplete(len(data), is_same_head=self._begun == number)
        elif not self._is_expected and self._is_answered:
            self._expect(IDLE_SECONDS)  # for example after a body that followed its answer

    def _count_incomplete(self, received: int, *, is_same_head: bool) -> None:
        """Count the bytes of an incomplete request, and set its deadline."""
        within = self._limits.body_within
        if self._awaited is _Awaited.HEAD:
            within = self._limits.head_within
            self._head_bytes += received if is_same_head else 0
            if self._head_bytes >= self._limits.head_bytes:
                raise self._too_large("head is")
        else:
            self._body_bytes += received
            self._since_body = 0 if self._got_body else self._since_body + received
            if self._since_body > self._limits.head_bytes:
                raise self._too_large("head or its trailers are")
        if not self._is_expected:
            self._expect(within.total_seconds())

    def expire(self) -> None:
        """Refuse a request that came too slowly; close an idle connection."""
        self._is_expected = False
        if self._is_refused:
            self.transport.abort()
            return
        match self._awaited:
            case _Awaited.REQUEST if self._begun:
                self.transport.close()
            case _Awaited.BODY:
                self._expire_body()
            case _:
                within = self._limits.head_within.total_seconds()
                self._error_response(
                    _RequestRefusedError(
                        HTTPStatus.REQUEST_TIMEOUT,
                        f"the request's head did not come within {within:g} s"
                        " (VOLARY_HTTP_HEAD_SECONDS)",
                        "HEAD_SECONDS",
                    )
                )

    def _expire_body(self) -> None:
        """Extend the deadline of a body that is fast enough, or that is not being read now."""
        within = self._limits.body_within.total_seconds()
        if self.flow.read_paused:
            self._expect(within)
            return
        extension = self._body_bytes / self._limits.body_bytes_per_second
        if extension >= 1:
            self._body_bytes = 0
            self._expect(extension)
            return
        self._error_response(
            _RequestRefusedError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the request's body did not come within {within:g} s"
                " (VOLARY_HTTP_BODY_SECONDS), and a second more for each"
                f" {self._limits.body_bytes_per_second} bytes",
                "BODY_SECONDS",
            )
        )

    # Callbacks of the parser. An exception in one of them ends feed_data.

    def on_message_begin(self) -> None:
        self._expect_no_more()  # the head has a deadline of its own, from here on
        self._awaited = _Awaited.HEAD
        self._begun += 1
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._expect_no_more()
        if len(self.headers) > self._limits.headers:
            raise _RequestRefusedError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request has {len(self.headers)} headers;"
                f" at most {self._limits.headers} are taken (VOLARY_HTTP_HEADERS)",
                "HEADERS",
            )
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise _RequestRefusedError(
                HTTPStatus.BAD_REQUEST,
                f"more than {_MAX_PIPELINED} requests were sent ahead of their answers;"
                " wait for the answers",
                "PIPELINED",
            )
        super().on_headers_complete()
        self._awaited = _Awaited.BODY
        self._head_bytes = self._body_bytes = self._since_body = self._discarded = 0
        self.headers = []  # for trailers, which are not used; the request keeps the other list

    def on_body(self, body: bytes) -> None:
        self._got_body = True
        super().on_body(body)
        if self.cycle.response_complete:
            self._discard(len(body))

    def on_message_complete(self) -> None:
        self._awaited = _Awaited.REQUEST
        self._expect_no_more()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Do as uvicorn does, and set the deadline of an idle connection."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._awaited is _Awaited.REQUEST:
            self._expect(IDLE_SECONDS)

    @property
    def _is_in_body(self) -> bool:
        return self._awaited is _Awaited.BODY

    @property
    def _is_answered(self) -> bool:
        """Return whether no request is being served."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete

    def _expect(self, seconds: float) -> None:
        self._is_expected = True
        self._connections.expect(self, self.loop.time() + seconds)

    def _expect_no_more(self) -> None:
        if self._is_expected:
            self._is_expected = False
            self._connections.expect_no_more(self)

    def _error_response(self, error: _RequestRefusedError) -> None:
        """
        Answer with an error and close; no answer while an earlier request is being served.

        Incoming bytes are read for a little while: closing a socket with unread bytes resets
        the connection, and the client would not see the error.
        """
        self._is_refused = True
        self._connections.note_refusal(error.limit)
        if self._awaited is _Awaited.BODY:
            may_answer = not self.cycle.response_started and not self.pipeline
        else:
            may_answer = self._is_answered
        if not self._is_answered:  # the request being served sees a disconnect
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if may_answer:
            self.transport.write(_render(error.status, str(error)))
        if not may_answer or not self._begun:
            self.transport.close()
            return
        if self.transport.can_write_eof():  # not within TLS; the answer has its length
            self.transport.write_eof()
        self.flow.resume_reading()
        self._expect(_LINGER_SECONDS)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > _MAX_DISCARDED_BYTES:
            self.transport.abort()

    def _too_large(self, what: str) -> _RequestRefusedError:
        return _RequestRefusedError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the request's {what} larger than {self._limits.head_bytes} bytes"
            " (VOLARY_HTTP_HEAD_BYTES)",
            "HEAD_BYTES",
        )


def _bad_request(reason: str) -> _RequestRefusedError:
    return _RequestRefusedError(
        HTTPStatus.BAD_REQUEST, f"this is not an HTTP/1.1 request: {reason}", "PARSER"
    )


def _render(status: HTTPStatus, message: str) -> bytes:
    body = f"{message}\n".encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: text/plain; charset=utf-8\r\n"
        "x-content-type-options: nosniff\r\n"
        "cache-control: no-store\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    ).encode() + body
