"""One request of an HTTP/2 connection: its application, its body, its answer, its deadlines."""

import asyncio
import logging
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from starlette.types import ASGIApp, Message, Scope

if TYPE_CHECKING:
    from controlplane.web.http2 import Http2Connection

logger = logging.getLogger(__name__)

_OF_A_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
"""Headers that HTTP/2 has no use for; an application may send them, for HTTP/1.1."""


class _Awaited(Enum):
    """The event that has a deadline."""

    NOTHING = auto()
    BODY = auto()  # the request's
    READER = auto()  # the client has to read


class Stream:
    """A request, from its head until its application has ended."""

    __slots__ = (
        "_awaited",
        "_body_bytes",
        "_changed",
        "_chunks",
        "_connection",
        "_has_body_ended",
        "_has_ended",
        "_has_started",
        "_has_trailers",
        "_is_head",
        "_scope",
        "id",
        "is_disconnected",
        "window_changed",
    )

    def __init__(self, connection: "Http2Connection", stream_id: int, scope: Scope) -> None:
        self.id = stream_id
        self.is_disconnected = False
        self.window_changed = asyncio.Event()
        self._connection = connection
        self._scope = scope
        self._is_head = scope["method"] == "HEAD"
        self._chunks: deque[tuple[bytes, int]] = deque()  # with what they count for the window
        self._changed = asyncio.Event()  # of the body
        self._has_body_ended = False
        self._body_bytes = 0  # since the deadline was set
        self._has_started = self._has_ended = self._has_trailers = False  # the answer
        self._awaited = _Awaited.NOTHING

    async def run(self, application: ASGIApp) -> None:
        """Run the application to its end."""
        try:
            await application(self._scope, self._receive, self._send)
            if not self._has_ended and not self.is_disconnected:
                raise RuntimeError("the application has not ended its answer")  # noqa: TRY301
        except Exception:
            logger.exception("request failed outside its application")
            await self._fail()
        finally:
            self._expect_no_more()
            self._close()
            self._connection.ended(self)

    # Calls of the connection.

    def expect_body(self) -> None:
        self._expect(_Awaited.BODY, self._connection.limits.body_within.total_seconds())

    def receive_body(self, data: bytes, length: int) -> bool:
        """Keep a part of the body; return False if the application will not read it."""
        if self._has_ended or self.is_disconnected:
            return False
        self._body_bytes += len(data)
        self._chunks.append((data, length))
        self._changed.set()
        return True

    def end_body(self) -> None:
        self._has_body_ended = True
        if self._awaited is _Awaited.BODY:
            self._expect_no_more()
        self._changed.set()

    def disconnect(self) -> None:
        """Tell the application that the client is gone."""
        self.is_disconnected = True
        self._expect_no_more()
        self._discard_chunks()
        self._changed.set()
        self.window_changed.set()

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error instead of the application."""
        body = f"{message}\n".encode()
        self._send_head(status, [(b"content-type", b"text/plain; charset=utf-8")])
        try:
            self._connection.h2.send_data(self.id, body, end_stream=True)
        except H2Error:
            pass  # its client gave it up, or has no room for it
        self._has_ended = True
        self.disconnect()
        self._close()
        self._connection.ended(self)

    def expire(self) -> None:
        """End a request whose body comes too slowly, or whose answer is not read."""
        awaited, self._awaited = self._awaited, _Awaited.NOTHING
        limits = self._connection.limits
        if awaited is _Awaited.BODY:
            if self._chunks:  # the application has not read what came
                self.expect_body()
                return
            extension = self._body_bytes / limits.body_bytes_per_second
            if extension >= 1:
                self._body_bytes = 0
                self._expect(_Awaited.BODY, extension)
                return
        limit = "BODY_SECONDS" if awaited is _Awaited.BODY else "UNREAD"
        self._connection.connections.note_refusal(limit)
        if awaited is _Awaited.BODY and not self._has_started:
            self._send_head(408, [(b"content-type", b"text/plain; charset=utf-8")])
            text = (
                f"the request's body did not come within {limits.body_within.total_seconds():g} s"
                " (VOLARY_HTTP_BODY_SECONDS), and a second more for each"
                f" {limits.body_bytes_per_second} bytes\n"
            )
            self._connection.h2.send_data(self.id, text.encode(), end_stream=True)
            self._has_ended = True
        self._reset(ErrorCodes.NO_ERROR if self._has_ended else ErrorCodes.CANCEL)
        self.disconnect()
        if not self._connection.is_writable:
            self._connection.abort()

    # Calls of the application.

    async def _receive(self) -> Message:
        while True:
            if self.is_disconnected or self._has_ended:
                return {"type": "http.disconnect"}
            if self._chunks:
                data, length = self._chunks.popleft()
                self._connection.acknowledge(self.id, length)
                more = bool(self._chunks) or not self._has_body_ended
                self._has_body_ended = self._has_body_ended and more
                return {"type": "http.request", "body": data, "more_body": more}
            if self._has_body_ended:
                self._has_body_ended = False  # is said once
                return {"type": "http.request", "body": b"", "more_body": False}
            self._changed.clear()
            await self._changed.wait()

    async def _send(self, message: Message) -> None:
        if self.is_disconnected or self._connection.is_lost:
            return
        try:
            await self._send_message(message)
        except H2Error as error:  # the client has closed the stream or broken the protocol
            logger.debug("answer not sent", extra={"error": str(error)})
            self.disconnect()

    async def _send_message(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self._has_trailers = bool(message.get("trailers"))
                self._send_head(message["status"], message.get("headers", ()))
            case "http.response.body":
                is_last = not message.get("more_body", False) and not self._has_trailers
                await self._send_body(message.get("body", b""), is_last=is_last)
            case "http.response.trailers":
                self._send_trailers(message.get("headers", ()))
            case other:
                raise RuntimeError(f"an application sent {other}")

    def _send_head(self, status: int, headers: object) -> None:
        self._has_started = True
        fields = [(b":status", str(status).encode()), *self._connection.default_headers]
        fields.extend(_fields(headers))
        self._connection.h2.send_headers(self.id, fields)
        self._connection.flush_soon()

    async def _send_body(self, body: bytes, *, is_last: bool) -> None:
        h2, rest = self._connection.h2, memoryview(b"" if self._is_head else body)
        while rest:
            if (room := await self._wait_for_room(len(rest))) == 0:
                return  # disconnected
            h2.send_data(self.id, bytes(rest[:room]), end_stream=is_last and room == len(rest))
            rest = rest[room:]
            self._connection.sent()
            self._connection.flush()
        if is_last:
            self._has_ended = True
            if self._is_head or not body:
                h2.end_stream(self.id)
                self._connection.flush_soon()

    async def _wait_for_room(self, most: int) -> int:
        """Return how many bytes can be sent, at most ``most``; 0 if the client is gone."""
        while not self.is_disconnected and not self._connection.is_lost:
            h2 = self._connection.h2
            room = min(most, h2.local_flow_control_window(self.id), h2.max_outbound_frame_size)
            if room > 0 and self._connection.is_writable:
                return room
            self._expect(_Awaited.READER, self._connection.limits.read_within.total_seconds())
            self._connection.flush()
            self.window_changed.clear()
            await self.window_changed.wait()
            if self._awaited is _Awaited.READER:
                self._expect_no_more()
        return 0

    def _send_trailers(self, headers: object) -> None:
        self._has_ended = True
        self._connection.h2.send_headers(self.id, _fields(headers), end_stream=True)
        self._connection.flush_soon()

    async def _fail(self) -> None:
        """Answer 500, or reset the stream if its answer has begun."""
        if self.is_disconnected or self._connection.is_lost or self._has_ended:
            return
        if self._has_started:
            self._reset(ErrorCodes.INTERNAL_ERROR)
            return
        self._send_head(500, [(b"content-type", b"text/plain; charset=utf-8")])
        await self._send_body(b"Internal Server Error", is_last=True)

    def _close(self) -> None:
        """Forget the rest of the body, which the application will not read."""
        if self._has_ended and not self.is_disconnected and not self._connection.is_lost:
            stream = self._connection.h2.streams.get(self.id)
            if stream is not None and not stream.closed:
                self._reset(ErrorCodes.NO_ERROR)  # the client need not send more
        self._discard_chunks()

    def _reset(self, code: ErrorCodes) -> None:
        try:
            self._connection.h2.reset_stream(self.id, code)
        except H2Error:
            return  # it is closed
        self._connection.flush_soon()

    def _discard_chunks(self) -> None:
        while self._chunks:
            self._connection.acknowledge(self.id, self._chunks.popleft()[1])

    def _expect(self, awaited: _Awaited, seconds: float) -> None:
        self._awaited = awaited
        deadline = self._connection.loop.time() + seconds
        self._connection.connections.expect(self, deadline)

    def _expect_no_more(self) -> None:
        self._awaited = _Awaited.NOTHING
        self._connection.connections.expect_no_more(self)


def _fields(headers: object) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = list(headers)  # type: ignore[call-overload]
    return [(name.lower(), value) for name, value in pairs if name.lower() not in _OF_A_CONNECTION]
