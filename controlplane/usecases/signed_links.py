"""Signed links to blobs: the store's own, or of this service for a store that signs nothing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from controlplane.core import signing
from controlplane.core.errors import InvalidError
from controlplane.core.signing import Grant, Method, SigningKeys
from controlplane.usecases.blob_errors import map_blob_errors
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock

LINK_LIFE = timedelta(minutes=15)
MAX_LINK_LIFE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Link:
    """A signed URL to GET one blob."""

    signed_url: str = field(repr=False)
    expires_at: datetime


class SignedLinks:
    """Signs links; whether the caller may have one is the use case's to decide."""

    def __init__(
        self, store: BlobStore, clock: Clock, *, keys: SigningKeys, public_url: str
    ) -> None:
        """``public_url`` and ``keys`` are for links into a store that cannot sign its own."""
        self._store = store
        self._clock = clock
        self._keys = keys
        self._public_url = public_url.rstrip("/")

    async def find_origin(self) -> str:
        """Return where signed links lead, such as "https://host:port"; UnavailableError."""
        with map_blob_errors():
            url = await self._store.sign_get(self._store.uri("origin"), LINK_LIFE)
        parts = urlsplit(url or self._public_url)
        return f"{parts.scheme}://{parts.netloc}"

    async def get(self, uri: str, expires_in: timedelta) -> Link | None:
        """Return a link to GET a blob; None if there is no such blob."""
        with map_blob_errors():
            if not await self._store.exists(uri):
                return None
            expires_at = self.expiry(expires_in)
            grant = Grant(method=Method.GET, path=self._store.relative(uri), expires_at=expires_at)
            return Link(await self.sign(uri, grant), expires_at)

    async def sign(self, uri: str, grant: Grant, *, replace: bool = True) -> str:
        """Return a URL; without ``replace``, for a PUT that may only create the blob."""
        life = grant.expires_at - self._clock.now()
        if grant.method is Method.PUT:
            url = await self._store.sign_put(uri, life, replace=replace)
        else:
            url = await self._store.sign_get(uri, life)
        return url or self._public_url + signing.sign(grant, self._keys)

    def expiry(self, requested: timedelta) -> datetime:
        """Return when a link expires; InvalidError if it was to live too long."""
        if requested < timedelta(0) or requested > MAX_LINK_LIFE:
            raise InvalidError(
                f"expires_in is {requested}; a link lives at most {MAX_LINK_LIFE}: leave it out"
                " or request less"
            )
        return (self._clock.now() + (requested or LINK_LIFE)).replace(microsecond=0)
