"""
Multipart uploads by clients without credentials: started and completed here, parts presigned.

A store that verifies CRC-32 checksums reports so when an upload begins. Then each link
contains the checksum of its part, the store rejects a part that does not match, and the blob
is assembled only from parts with these checksums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

CRC32 = "x-amz-checksum-crc32"
SHORT_LIVED = timedelta(minutes=5)  # of links that are used immediately


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    wants_crc32: bool  # of each part


@dataclass(frozen=True, slots=True)
class Part:
    """A part that was uploaded: the store's ETag, and its CRC-32 if the upload requires one."""

    etag: str
    crc32: str = ""  # base64


class Uploads(Protocol):
    """Multipart uploads to a store that can sign URLs (``BlobStore.signs``)."""

    async def begin(self, uri: str, *, crc32: bool = False) -> Upload:
        """
        Begin an upload; ``crc32`` requests a checksum of each part, if the store verifies them.

        BlobStoreError if the store refuses.
        """
        ...

    async def sign_part(
        self, uri: str, upload: str, number: int, expires: timedelta, *, crc32: str = ""
    ) -> str:
        """
        Return a URL to PUT one part with; parts count from 1.

        With ``crc32`` (base64) the request must send it in the header named :data:`CRC32`.
        """
        ...

    async def complete(self, uri: str, upload: str, parts: Sequence[Part]) -> None:
        """Assemble the blob from its parts; idempotent."""
        ...

    async def abandon(self, uri: str, upload: str) -> None:
        """Abort an upload and delete its parts; no error if it no longer exists."""
        ...
