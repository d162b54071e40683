"""
Compresses streams for browsers, each message at once.

A browser cannot ask for compressed envelopes, as other clients of Connect do: its ``fetch`` only
decodes the content encoding of HTTP. So the whole body is one gzip stream, flushed after each
event, and a message is never held back.
"""

import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Event = MutableMapping[str, Any]
Send = Callable[[Event], Awaitable[None]]

_STREAMS = (b"application/connect+", b"application/grpc-web")
_OWN_ENCODINGS = frozenset({b"connect-accept-encoding", b"grpc-accept-encoding"})
_LEVEL = 4
_WBITS = 16 + 13
"""gzip's frame and a window of 8 KiB: 40 KiB of memory for a stream, where 32 KiB take 270."""
_MEMORY = 6


def compress_stream(headers: Iterable[tuple[bytes, bytes]], send: Send) -> Send:
    """
    Return ``send``, compressing if the request accepts it for a stream and has no other way.

    ``headers`` are the request's, their names in lower case.
    """
    accepts = streams = False
    for name, value in headers:
        if name in _OWN_ENCODINGS:
            return send
        if name == b"accept-encoding":
            accepts = accepts or accepts_gzip(value)
        elif name == b"content-type":
            streams = value.startswith(_STREAMS)
    return _Compressed(send).send if accepts and streams else send


def accepts_gzip(value: bytes) -> bool:
    """Return whether an Accept-Encoding header names gzip, with a weight other than 0."""
    for each in value.lower().split(b","):
        coding, _, weight = each.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"").rstrip(b"0.") != b"q="
    return False


class _Compressed:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._packing = zlib.compressobj(_LEVEL, wbits=_WBITS, memLevel=_MEMORY)

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            named = [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
            kept = [
                each for each in event.get("headers", ()) if each[0].lower() != b"content-length"
            ]
            event = {**event, "headers": [*kept, *named]}
        elif event["type"] == "http.response.body":
            body, more = event.get("body", b""), event.get("more_body", False)
            packed = self._packing.compress(body) if body else b""
            packed += self._packing.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)
            event = {**event, "body": packed}
        await self._send(event)
