"""Interface to what signs the URLs of a bucket: one class for each kind of store."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Protocol

Verb = Literal["GET", "PUT"]


class LinkSigner(Protocol):
    """Signs URLs of whole blobs; a ``key`` is a blob's name within its bucket."""

    async def sign(self, verb: Verb, key: str, expires: timedelta, *, replace: bool = True) -> str:
        """
        Return a URL for one GET or PUT; without ``replace``, for a PUT that creates the blob.

        BlobStoreError if no credential to sign with is found, or one of obstore's errors.
        """
        ...

    def put_headers(self, *, replace: bool) -> Mapping[str, str]:
        """Return the headers that a PUT to a signed URL has to send, unchanged."""
        ...


IF_ABSENT: Mapping[str, str] = {"If-None-Match": "*"}  # HTTP's own words for a PUT that creates
