"""
Checks headers of a call that connectrpc would fail on, before it sees them.

connectrpc decodes every header as UTF-8, and parses ``Grpc-Timeout`` without checking its
form; its exceptions would be an answer of 500, and a traceback in our log.
"""

import re
from collections.abc import Iterable
from enum import Enum, auto

_TIMEOUT = re.compile(rb"[0-9]{1,8}[HMSmun]")
_MAX_QUOTED = 100  # characters of a header in an error message


class Protocol(Enum):
    NATIVE_GRPC = auto()  # needs HTTP trailers, so HTTP/2
    OTHER = auto()


class BadHeaderError(Exception):
    """A header is malformed; the text is shown to the caller."""


def check(headers: Iterable[tuple[bytes, bytes]]) -> Protocol:
    """Check the headers of a call, their names in lower case; return which protocol it uses."""
    content_types = 0
    protocol = Protocol.OTHER
    for name, value in headers:
        if not value.isascii():
            _require_utf8(name, value)
        if name == b"content-type":
            content_types += 1
            if _is_grpc(value):
                protocol = Protocol.NATIVE_GRPC
        elif name == b"grpc-timeout" and not _TIMEOUT.fullmatch(value):
            raise BadHeaderError(
                f"grpc-timeout is {_quote(value)}: send up to 8 digits and one of H M S m u n"
            )
        elif name == b"connect-timeout-ms" and not (value.isdigit() and len(value) <= 10):
            raise BadHeaderError(f"connect-timeout-ms is {_quote(value)}: send up to 10 digits")
    if content_types > 1:
        raise BadHeaderError(f"the call has {content_types} content-type headers; send one")
    return protocol


def names_grpc(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a call, however malformed, is one of native gRPC."""
    return any(name == b"content-type" and _is_grpc(value) for name, value in headers)


def _is_grpc(content_type: bytes) -> bool:
    return content_type == b"application/grpc" or content_type.startswith(b"application/grpc+")


def _require_utf8(name: bytes, value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise BadHeaderError(
            f"the header {name.decode('latin-1')[:_MAX_QUOTED]} is not UTF-8"
        ) from error


def _quote(value: bytes) -> str:
    return repr(value.decode("utf-8", "replace")[:_MAX_QUOTED])
