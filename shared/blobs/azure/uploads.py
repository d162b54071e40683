"""Uploads to Azure in blocks, by clients without credentials."""

import re
import secrets
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote

from shared.blobs.azure.links import AzureLinks
from shared.blobs.errors import BlobStoreError
from shared.blobs.requests import Answer, UnansweredError, send
from shared.blobs.store import BlobStore
from shared.blobs.uploads import SHORT_LIVED, Part, Upload


class BlockUploads:
    """
    Uploads whose parts are blocks, named after the upload and the part's number.

    The store keeps blocks that were not committed for a week, and drops them when another upload
    of the same blob is complete: then this one cannot be completed, and has to begin again.
    """

    def __init__(self, store: BlobStore, links: AzureLinks) -> None:
        self._store = store
        self._links = links

    async def begin(self, uri: str, *, crc32: bool = False) -> Upload:  # noqa: ARG002 -- Azure knows CRC-64 only
        self._store.relative(uri)
        return Upload(secrets.token_hex(8), wants_crc32=False)

    async def sign_part(
        self, uri: str, upload: str, number: int, expires: timedelta, *, crc32: str = ""
    ) -> str:
        if crc32:
            raise BlobStoreError(f"the store of {uri} verifies no CRC-32; send parts without it")
        block = quote(_block(upload, number), safe="")
        return f"{await self._sign(uri, expires)}&comp=block&blockid={block}"

    async def complete(self, uri: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the blob of its blocks; idempotent, because committed blocks count too."""
        listed = "".join(
            f"<Latest>{_block(upload, number)}</Latest>" for number in range(1, len(parts) + 1)
        )
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'
        url = f"{await self._sign(uri, SHORT_LIVED)}&comp=blocklist"
        try:
            answer = await send(
                "PUT", url, headers={"Content-Type": "application/xml"}, body=body.encode()
            )
        except UnansweredError as error:
            raise BlobStoreError(f"the store of {uri} does not answer") from error
        if answer.status != 201:
            raise BlobStoreError(
                f"the store could not complete the upload of {uri}: {_why(answer)}"
            )

    async def abandon(self, uri: str, upload: str) -> None:
        """Do nothing: the store drops uncommitted blocks after a week, and cannot be asked to."""

    async def _sign(self, uri: str, expires: timedelta) -> str:
        return await self._links.sign("PUT", self._store.bucket_key(uri), expires)


def _block(upload: str, number: int) -> str:
    """Return a block's id; all ids of a blob's blocks have to have one length."""
    return b64encode(f"{upload}-{number:06}".encode()).decode()


def _why(answer: Answer) -> str:
    found = re.search("<Code>([^<]+)</Code>", answer.text)
    return found[1] if found else f"HTTP status {answer.status}"
