"""
Strings on the wire. What a task wrote may hold anything; what comes out here can be kept.

Words for people are cut and mended, because the one who said them says them again until
they are taken. An address that was cut would be another address, so that one is refused.
"""

from shared.wire.errors import BadMessageError

MAX_CODE_BYTES = 256
MAX_URI_BYTES = 2048

_NUL = "\0"  # no column of text takes it
_INSTEAD = "\N{REPLACEMENT CHARACTER}"


def parse_words(value: str, most: int) -> str:
    """Take at most ``most`` bytes of UTF-8, without NUL."""
    mended = value.replace(_NUL, _INSTEAD)
    if len(mended) * 4 <= most:
        return mended
    return mended.encode()[:most].decode(errors="ignore")


def parse_uri(value: str, field: str) -> str:
    size = len(value.encode())
    if size > MAX_URI_BYTES:
        raise BadMessageError(f"{field} has {size} bytes; at most {MAX_URI_BYTES} are taken")
    if _NUL in value:
        raise BadMessageError(f"{field} holds a NUL character")
    return value
