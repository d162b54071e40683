"""
Parses scalar fields from the wire: strings that Postgres can store, URIs, timestamps.

A task may write anything. Text for people is truncated and its NULs replaced, not rejected,
because the agent would resend a rejected report for ever. A truncated URI would be another
URI, so a bad one is rejected.
"""

from datetime import datetime

from shared.kit.timestamps import from_us
from shared.model.traces import parse_traceparent

MAX_CODE_BYTES = 256
MAX_URI_BYTES = 2048

_NUL = "\0"  # Postgres text columns reject it
_INSTEAD = "\N{REPLACEMENT CHARACTER}"


class BadMessageError(Exception):
    """The peer sent an invalid message; the text names the field."""


def parse_words(value: str, most: int) -> str:
    """Truncate to ``most`` bytes of UTF-8 and replace NUL characters."""
    cleaned = value.replace(_NUL, _INSTEAD)
    if len(cleaned) * 4 <= most:
        return cleaned
    return cleaned.encode()[:most].decode(errors="ignore")


def parse_uri(value: str, field: str) -> str:
    """Return the URI; BadMessageError if it is longer than the limit or contains NUL."""
    size = len(value.encode())
    if size > MAX_URI_BYTES:
        raise BadMessageError(f"{field} has {size} bytes; the limit is {MAX_URI_BYTES}")
    if _NUL in value:
        raise BadMessageError(f"{field} contains a NUL character")
    return value


def parse_timestamp(us: int) -> datetime:
    """Return the timestamp of microseconds since 1970; BadMessageError if it is out of range."""
    try:
        return from_us(us)
    except ValueError as error:
        raise BadMessageError(str(error)) from error


def parse_traceparent_field(given: str) -> str:
    """Return a valid traceparent, or "": a trace is worth no refused message."""
    return given if parse_traceparent(given) is not None else ""
