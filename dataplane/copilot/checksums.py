"""Computes MD5 and CRC-32 checksums, without holding the GIL."""

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Iterable

_Chunks = Iterable[bytes | bytearray | memoryview]


def md5(chunks: _Chunks) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def crc32(chunks: _Chunks) -> str:
    """Return the CRC-32 in S3's form, base64; several times as fast as an MD5."""
    value = 0
    for chunk in chunks:
        value = zlib.crc32(chunk, value)
    return in_base64(value.to_bytes(4, "big"))


def in_base64(checksum: bytes) -> str:
    return b64encode(checksum).decode()
