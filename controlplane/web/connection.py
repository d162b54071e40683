"""
One HTTP connection: uvicorn's protocol on httptools, with the bounds that httptools lacks.

httptools keeps what it is fed until a header is whole, however long that takes and however
large it gets. So bytes are counted before they are fed, no more of a head is fed than it may
have, and :class:`~shared.kit.connections.Connections` ends what comes too slowly.
"""

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from controlplane.web.limits import HttpLimits
from shared.kit.connections import Connections

IDLE_SECONDS = 75
"""How long a connection may say nothing between two calls; longer than proxies keep theirs."""
_MOST_PIPELINED = 32  # requests that came before the one in front of them was answered
_MOST_DISCARDED = 4 * 1024 * 1024  # bytes that go on coming after the answer
_LINGER_SECONDS = 2.0  # for the client of a refused request to stop sending


class _Awaited(Enum):
    """What comes next on a connection."""

    HEAD = auto()
    BODY = auto()
    REQUEST = auto()  # the last one is whole


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, sentence: str, limit: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.limit = limit


class BoundedConnection(HttpToolsProtocol):
    def __init__(
        self, *uvicorns: Any, limits: HttpLimits, connections: Connections, **more: Any
    ) -> None:
        super().__init__(*uvicorns, **more)
        self._limits = limits
        self._connections = connections
        self._address = ""
        self._awaited = _Awaited.REQUEST
        self._begun = 0  # requests
        self._head_bytes = 0  # of a head that is not whole
        self._body_bytes = 0  # that came since the head was whole
        self._got_body = False  # of what was fed last, something was body
        self._since_body = 0  # bytes that came since the last of the body: trailers and such
        self._discarded = 0
        self._is_expected = False  # has a deadline
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""  # none of a Unix socket
        reason = self._connections.enter(self._address)
        if reason:
            limit = "CONNECTIONS_PER_ADDRESS" if "from" in reason else "CONNECTIONS"
            self._error_response(
                _RefusedError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"{reason} (VOLARY_HTTP_{limit}); close some, or try again later",
                    limit,
                )
            )
        else:
            self._expect(self._limits.head_within.total_seconds())

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self, self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            self._discard(len(data))
            return
        try:
            # The usual case first: no more came than a head may have.
            if self._head_bytes + len(data) <= self._limits.head_bytes or self._is_in_body:
                self._feed(data)
            else:
                self._feed_at_most_a_head(data)
        except _RefusedError as error:
            self._error_response(error)

    def _feed_at_most_a_head(self, data: bytes) -> None:
        """Feed no more of a head than it may have, however much came at once."""
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
            if isinstance(refused, _RefusedError):
                raise refused from None
            raise _bad_request("its target or a header cannot be read") from error
        except httptools.HttpParserUpgrade:
            pass  # nothing is upgraded to; the request is answered as it is
        except httptools.HttpParserError as error:
            raise _bad_request(str(error)) from error
        if self._awaited is not _Awaited.REQUEST:
            self._wait_on(len(data), is_same_head=self._begun == number)
        elif not self._is_expected and self._is_answered:
            self._expect(IDLE_SECONDS)  # such as after a body that came after its answer

    def _wait_on(self, received: int, *, is_same_head: bool) -> None:
        """Count what came of a request that is not whole yet, and set its deadline."""
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
        """Refuse what came too slowly; end a connection that says nothing between requests."""
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
                    _RefusedError(
                        HTTPStatus.REQUEST_TIMEOUT,
                        f"the request's head did not come within {within:g} s"
                        " (VOLARY_HTTP_HEAD_SECONDS)",
                        "HEAD_SECONDS",
                    )
                )

    def _expire_body(self) -> None:
        """Wait on for a body that comes fast enough, or that we do not read just now."""
        within = self._limits.body_within.total_seconds()
        if self.flow.read_paused:
            self._expect(within)
            return
        earned = self._body_bytes / self._limits.body_bytes_per_second
        if earned >= 1:
            self._body_bytes = 0
            self._expect(earned)
            return
        self._error_response(
            _RefusedError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the request's body did not come within {within:g} s"
                " (VOLARY_HTTP_BODY_SECONDS), and a second more for each"
                f" {self._limits.body_bytes_per_second} bytes",
                "BODY_SECONDS",
            )
        )

    # Callbacks of the parser. An exception in one of them ends feed_data.

    def on_message_begin(self) -> None:
        self._expect_no_more()  # the head has its own time, from here
        self._awaited = _Awaited.HEAD
        self._begun += 1
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._expect_no_more()
        if len(self.headers) > self._limits.headers:
            raise _RefusedError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request has {len(self.headers)} headers;"
                f" at most {self._limits.headers} are taken (VOLARY_HTTP_HEADERS)",
                "HEADERS",
            )
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise _RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"more than {_MOST_PIPELINED} requests were sent ahead of their answers;"
                " wait for those",
                "PIPELINED",
            )
        super().on_headers_complete()
        self._awaited = _Awaited.BODY
        self._head_bytes = self._body_bytes = self._since_body = self._discarded = 0
        self.headers = []  # of trailers, which nobody reads; the request has the other list

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
        """As uvicorn's, but that an idle connection has a deadline like any other."""
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
        """Whether no call is under way."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or cycle.response_complete

    def _expect(self, seconds: float) -> None:
        self._is_expected = True
        self._connections.expect(self, self.loop.time() + seconds)

    def _expect_no_more(self) -> None:
        if self._is_expected:
            self._is_expected = False
            self._connections.expect_no_more(self)

    def _error_response(self, error: _RefusedError) -> None:
        """
        Answer, unless another answer would be taken for this one, and close.

        What is still coming is read for a little while: a socket that is closed with bytes
        unread resets the connection, and the client would not see why.
        """
        self._is_refused = True
        self._connections.note_refusal(error.limit)
        if self._awaited is _Awaited.BODY:
            may_answer = not self.cycle.response_started and not self.pipeline
        else:
            may_answer = self._is_answered
        if not self._is_answered:  # a call under way sees a hang-up
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if may_answer:
            self.transport.write(_render(error.status, str(error)))
        if not may_answer or not self._begun:
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._expect(_LINGER_SECONDS)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > _MOST_DISCARDED:
            self.transport.abort()

    def _too_large(self, what: str) -> _RefusedError:
        return _RefusedError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the request's {what} larger than {self._limits.head_bytes} bytes"
            " (VOLARY_HTTP_HEAD_BYTES)",
            "HEAD_BYTES",
        )


def _bad_request(reason: str) -> _RefusedError:
    return _RefusedError(HTTPStatus.BAD_REQUEST, f"this is no HTTP/1.1 request: {reason}", "PARSER")


def _render(status: HTTPStatus, sentence: str) -> bytes:
    body = f"{sentence}\n".encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    ).encode() + body
