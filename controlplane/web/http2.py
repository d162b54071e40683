"""
HTTP/2 connections with size limits and deadlines, for native gRPC and for browsers.

h2 keeps the protocol's state and checks its rules; this class moves bytes, starts the
application for each request (:mod:`controlplane.web.http2_stream`), and bounds what one client
may use. It takes uvicorn's place for connections on which ALPN selected ``h2``, and for those in the
clear that begin with HTTP/2's preface.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import cast
from urllib.parse import unquote

import uvicorn
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from starlette.types import Scope
from uvicorn.server import ServerState

from controlplane.web.http2_stream import Stream
from controlplane.web.http_limits import IDLE_SECONDS, HttpLimits
from shared.kit.connections import Connections

logger = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"

_STREAM_WINDOW = 256 * 1024  # bytes of a body that may wait for the application
_CONNECTION_WINDOW = 1024 * 1024  # of all bodies of a connection
_MOST_CONTROL_FRAMES = 1000  # without a request, a body or an answer in between
_MOST_ABANDONED = 1000  # requests that were reset, beyond those that were answered
_CLOSE_SECONDS = 1.0  # for the client's end of TLS
_EARLY = 8  # times the streams that may be open
_MOST_UNSENT = 4 * 1024 * 1024  # bytes that the client does not read, such as acknowledgements


class Http2Connection(asyncio.Protocol):
    """One connection; ``connections`` has counted it."""

    def __init__(
        self,
        *,
        config: uvicorn.Config,
        server_state: ServerState,
        limits: HttpLimits,
        connections: Connections,
    ) -> None:
        self.limits = limits
        self.connections = connections
        self.loop = asyncio.get_running_loop()
        self._config = config
        self._state = server_state
        self._streams: dict[int, Stream] = {}  # those whose application runs
        self._control_frames = 0
        self._abandoned = 0
        self._is_leaving = False  # no new requests
        self._is_flush_scheduled = False
        self.is_lost = False
        self.is_writable = True  # the transport takes more
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
            SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.head_bytes,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 0,
        }
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self._settings = settings
        self.h2.decoder.max_header_list_size = limits.head_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("", 0)
        self._server = transport.get_extra_info("sockname")[:2]
        self._scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.connections.add(self)
        self._state.connections.add(self)  # type: ignore[arg-type]  # shut down like others
        self.h2.initiate_connection()
        # A client may open more streams before it has read how many there may be. Those are refused
        # one by one (``_begin``); h2 would end the connection.
        self.h2.local_settings = Settings(
            client=False,
            initial_values={
                **self._settings,
                SettingCodes.MAX_CONCURRENT_STREAMS: _EARLY * self.limits.streams,
            },
        )
        self.h2.increment_flow_control_window(_CONNECTION_WINDOW - 65_535)
        self.flush()
        self._expect(self.limits.head_within.total_seconds())

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_lost = True
        self.connections.leave(self, self._client[0])
        self._state.connections.discard(self)
        for stream in list(self._streams.values()):
            stream.disconnect()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.h2.receive_data(data):
                self._handle(event)
        except H2Error as error:
            self._refuse("PROTOCOL", str(error))
            return
        self.flush()
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._refuse("UNREAD", "the client does not read")
            self._transport.abort()

    def _handle(self, event: Event) -> None:
        if self._is_leaving and not self._streams:
            return
        match event:
            case RequestReceived():
                self._control_frames = 0
                self._begin(event)
            case DataReceived():
                self._receive_body(event)
            case StreamEnded():
                if stream := self._streams.get(event.stream_id or 0):
                    stream.end_body()
            case StreamReset():
                self._reset(event)
            case WindowUpdated() | RemoteSettingsChanged():
                self._count_control_frame()
                self._widen(getattr(event, "stream_id", 0) or 0)
            case ConnectionTerminated():
                self._is_leaving = True
                self._close()  # h2 sends nothing more on it
            case _:
                self._count_control_frame()

    def _begin(self, event: RequestReceived) -> None:
        stream_id, headers = event.stream_id or 0, event.headers or []
        self._connections_idle_no_more()
        if event.stream_ended is not None and _announces_body(headers):
            self.h2.reset_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        scope, fields = self._make_scope(headers)
        stream = Stream(self, stream_id, scope)
        if self._is_leaving or len(self._streams) >= self.limits.streams:
            # h2 counts open streams; those that the client reset may still be running.
            self.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            self._abandon()
            return
        self._streams[stream_id] = stream
        if fields > self.limits.headers:
            self.connections.note_refusal("HEADERS")
            stream.refuse(
                431,
                f"the request has {fields} headers; at most {self.limits.headers} are taken"
                " (VOLARY_HTTP_HEADERS)",
            )
            return
        if event.stream_ended is None:
            stream.expect_body()
        task = self.loop.create_task(stream.run(self._config.loaded_app), name="HTTP/2 request")
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _make_scope(self, headers: list[tuple[bytes, bytes]]) -> tuple[Scope, int]:
        """Return the request as ASGI has it, and how many fields it has."""
        pseudo: dict[bytes, bytes] = {}
        fields: list[tuple[bytes, bytes]] = []
        cookies: list[bytes] = []
        for name, value in headers:
            if name.startswith(b":"):
                pseudo[name] = value
            elif name == b"cookie":
                cookies.append(value)  # clients may send each one in a field of its own
            else:
                fields.append((name, value))
        if cookies:
            fields.append((b"cookie", b"; ".join(cookies)))
        if b":authority" in pseudo and not any(name == b"host" for name, _ in fields):
            fields.insert(0, (b"host", pseudo[b":authority"]))
        raw_path, _, query = pseudo.get(b":path", b"/").partition(b"?")
        path = raw_path.decode("latin-1")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "method": pseudo.get(b":method", b"").decode("latin-1"),
            "scheme": self._scheme,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": fields,
            "client": self._client,
            "server": self._server,
            "state": {},
            "extensions": {"http.response.trailers": {}},
        }
        return scope, len(fields) + max(len(cookies) - 1, 0)

    def _receive_body(self, event: DataReceived) -> None:
        length = event.flow_controlled_length or 0
        stream = self._streams.get(event.stream_id or 0)
        if event.data:
            self._control_frames = 0
        else:
            self._count_control_frame()
        if stream is None or not stream.receive_body(event.data or b"", length):
            self.acknowledge(event.stream_id or 0, length)  # it is discarded

    def _reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.disconnect()
            self._abandon()

    def _abandon(self) -> None:
        """Count a request that the client gave up, which costs us more than the client."""
        self._abandoned += 1
        if self._abandoned > _MOST_ABANDONED:
            self._refuse("RESETS", "too many requests were reset", ErrorCodes.ENHANCE_YOUR_CALM)

    def _count_control_frame(self) -> None:
        self._control_frames += 1
        if self._control_frames > _MOST_CONTROL_FRAMES:
            self._refuse("FRAMES", "too many control frames", ErrorCodes.ENHANCE_YOUR_CALM)

    def _widen(self, stream_id: int) -> None:
        """Wake those who wait to send: one stream, or all (0)."""
        for stream in [self._streams.get(stream_id)] if stream_id else self._streams.values():
            if stream is not None:
                stream.window_changed.set()

    # Calls of the streams.

    def acknowledge(self, stream_id: int, length: int) -> None:
        """Let the client send as much again."""
        if length and not self.is_lost:
            try:
                self.h2.acknowledge_received_data(length, stream_id)
            except (H2Error, KeyError):
                return  # the stream is closed
            self.flush_soon()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self._state.default_headers

    def sent(self) -> None:
        """Note that an answer makes progress: control frames of its reader are not counted."""
        self._control_frames = 0

    def ended(self, stream: Stream) -> None:
        """Note that the application has ended a request."""
        self._streams.pop(stream.id, None)
        self._state.total_requests += 1
        if not stream.is_disconnected:
            self._abandoned = max(self._abandoned - 1, 0)
        if self.is_lost or self._streams:
            return
        if self._is_leaving:
            self._close()
        else:
            self._expect(IDLE_SECONDS)

    def flush_soon(self) -> None:
        """Send what h2 has to send, after what else happens in this turn of the loop."""
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        self._is_flush_scheduled = False
        if not self.is_lost and (data := self.h2.data_to_send()):
            self._transport.write(data)

    # Calls of the event loop, of uvicorn, and of the deadlines.

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        self._widen(0)

    def shutdown(self) -> None:
        """Send the client to another connection; the open requests end first."""
        self.leave()

    def leave(self) -> None:
        """Take no more requests; close when the open ones have ended."""
        if not self._is_leaving:
            self._is_leaving = True
            self.flush()
            # Not h2's own, after which it would send no answers to the open requests.
            goaway = GoAwayFrame(0, last_stream_id=self.h2.highest_inbound_stream_id)
            self._transport.write(goaway.serialize())
        if not self._streams:
            self._close()

    def expire(self) -> None:
        """Close a connection that has no request, or cut it if its client does not close it."""
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self.leave()

    def abort(self) -> None:
        """Cut the connection: its client reads nothing, or does not close it."""
        self._transport.abort()

    def _close(self) -> None:
        if not self._transport.is_closing():  # CPython aborts none over TLS that was closed twice
            self._transport.close()
        self._expect(_CLOSE_SECONDS)

    def _expect(self, seconds: float) -> None:
        self.connections.expect(self, self.loop.time() + seconds)

    def _connections_idle_no_more(self) -> None:
        self.connections.expect_no_more(self)

    def _refuse(
        self, limit: str, reason: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR
    ) -> None:
        """End the connection; what its client is to know is an error code of HTTP/2."""
        logger.debug(
            "HTTP/2 connection refused", extra={"peer": self._client[0], "error": reason[:200]}
        )
        self.connections.note_refusal(limit)
        self._is_leaving = True
        try:
            self.h2.close_connection(code)
        except H2Error:
            pass  # h2 has said so itself
        self.flush()
        self._close()


def _announces_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request announces a body; h2 compares the length with bodies only."""
    return any(name == b"content-length" and value != b"0" for name, value in headers)
