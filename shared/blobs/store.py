"""
Reads, writes, lists and signs blobs in a bucket or a directory; wraps obstore.

Blobs are addressed by absolute URI. A store refuses URIs outside its base. URIs are taken
literally (nothing is percent-decoded), as the SDK takes them. Writes are atomic: a reader
sees the whole blob or none. Every failure is one of :mod:`shared.blobs.errors`, its cause
chained.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import obstore
from obstore.store import LocalStore

from shared.blobs.buckets import Bucket, open_bucket
from shared.blobs.directory import Directory
from shared.blobs.errors import (
    BlobNotFoundError,
    BlobOutsideError,
    BlobStoreError,
    BlobTooLargeError,
    translated,
)
from shared.blobs.options import BASE, AnyOptions, all_options
from shared.blobs.signing import IF_ABSENT, LinkSigner
from shared.kit.clock import Clock, SystemClock

if TYPE_CHECKING:  # obstore has these for type checkers only
    from obstore import GetOptions, GetResult, PutMode
    from obstore.store import ObjectStore

CHUNK_BYTES = 1024 * 1024
_PART_BYTES = 8 * 1024 * 1024  # S3 takes 10,000 parts: blobs of up to 80 GB
_PAGE_BLOBS = 1000  # S3's page size
_PARTS_AT_ONCE = 2  # bounds the memory of one upload
_MAX_KEY_BYTES = 1024 - 256  # S3's limit, less what a base may take of it
_MAX_PART_BYTES = 255  # a file system's


@dataclass(frozen=True, slots=True)
class BlobInfo:
    size: int
    etag: str  # quoted, as HTTP has it; changes when the content does


@dataclass(frozen=True, slots=True)
class ListedBlob:
    path: str  # below the URI that was listed
    size: int


class BlobStream:
    """An open blob: its metadata, the byte range ``start`` to ``end``, and an iterator of chunks."""

    def __init__(self, uri: str, result: "GetResult") -> None:
        self._uri = uri
        self._result = result
        self.info = BlobInfo(result.meta["size"], result.meta["e_tag"] or "")
        self.start, self.end = result.range

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with translated("read", self._uri):
            async for chunk in self._result.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)


class BlobStore:
    """
    The blobs below ``base``, a directory (``file:///directory``) or a prefix of a bucket:
    ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``abfs://container/prefix``.

    Create one with :func:`open_store`.
    """

    def __init__(self, base: str, place: Bucket | Directory, *, prefix: str) -> None:
        self.base = base
        self.links: LinkSigner | None = None  # None: a directory signs nothing
        self._prefix = prefix  # of keys within the bucket; "" or ending in a slash
        self._directory: Directory | None = None
        # A directory lists in any order; see Bucket.
        self._is_in_order = False
        if isinstance(place, Bucket):
            self._store: ObjectStore = place.store
            self.links = place.links
            self._is_in_order = place.is_in_order
        else:
            self._store = LocalStore(place.root)
            self._directory = place

    def __repr__(self) -> str:
        return f"<BlobStore {self.base}>"

    @property
    def signs(self) -> bool:
        """Whether the store can sign URLs: a bucket can, a directory cannot."""
        return self.links is not None

    def relative(self, uri: str) -> str:
        """Return the URI's path relative to the base; BlobOutsideError if it lies outside."""
        below = f"{self.base}/"
        if not uri.startswith(below):
            raise BlobOutsideError(uri, f"is not below {below}")
        path = uri.removeprefix(below)
        reason = _unfit(path)
        if reason:
            raise BlobOutsideError(uri, reason)
        return path

    def uri(self, relative: str) -> str:
        """Return the URI of a path below the base; raise BlobOutsideError if it leaves it."""
        uri = f"{self.base}/{relative}"
        self.relative(uri)
        return uri

    def native(self, uri: str) -> str:
        """Return the address for programs that open the blob themselves: a path, or the URI."""
        return uri.removeprefix("file://") if self._directory else uri

    def uri_of_native(self, native: str) -> str:
        """Return the URI for an address from :meth:`native`; a URI is returned unchanged."""
        return f"file://{native}" if self._directory and native.startswith("/") else native

    async def read(self, uri: str, *, limit: int) -> bytes:
        """Return the whole blob; BlobTooLargeError, before fetching it, if it exceeds ``limit``."""
        result = await self._get(uri, {})
        size = result.meta["size"]
        if size > limit:
            raise BlobTooLargeError(uri, size=size, limit=limit)
        with translated("read", uri):
            return bytes(await result.bytes_async())

    async def stream(self, uri: str, *, start: int = 0, end: int | None = None) -> BlobStream:
        """Open bytes ``start`` to ``end`` (exclusive); an ``end`` past the blob's is clamped."""
        options: GetOptions = {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        return BlobStream(uri, await self._get(uri, options))

    async def write(self, uri: str, data: bytes) -> None:
        await self._put(uri, data)

    async def write_stream(
        self, uri: str, chunks: AsyncIterator[bytes], *, replace: bool = True
    ) -> None:
        """
        Write the chunks; if ``chunks`` raises, nothing is written and its error is raised.

        Without ``replace`` an existing blob stays, and BlobExistsError is raised; for a
        bucket, the whole new blob is then buffered in memory.
        """
        source = _Source(chunks)
        try:
            await self._put(uri, source, replace=replace)
        except BlobStoreError:
            if source.error is not None:
                raise source.error from None
            raise
        finally:
            await source.close()

    async def delete(self, uri: str) -> None:
        """Delete the blob; no error if it does not exist."""
        key = await self._key(uri)
        try:
            with translated("delete", uri):
                await obstore.delete_async(self._store, key)
        except BlobNotFoundError:
            return

    async def delete_below(self, uri: str) -> AsyncIterator[int]:
        """
        Delete the blobs below the URI, page by page; yield how many each page had.

        Others may delete the same: of a page of which a blob is gone some may be left, so the
        blobs are listed again then.
        """
        above = f"{await self._key(uri)}/"
        is_complete = False
        while not is_complete:
            is_complete = True
            with translated("list", uri):
                async for page in obstore.list(self._store, prefix=above, chunk_size=_PAGE_BLOBS):
                    try:
                        with translated("delete", uri):
                            await obstore.delete_async(self._store, [meta["path"] for meta in page])
                    except BlobNotFoundError:
                        is_complete = False
                    yield len(page)

    async def exists(self, uri: str) -> bool:
        return await self.head(uri) is not None

    async def head(self, uri: str) -> BlobInfo | None:
        key = await self._key(uri)
        try:
            with translated("look up", uri):
                meta = await obstore.head_async(self._store, key)
        except BlobNotFoundError:
            return None
        return BlobInfo(meta["size"], meta["e_tag"] or "")

    async def list_below(self, uri: str, *, after: str = "", limit: int) -> list[ListedBlob]:
        """Return the first ``limit`` blobs below the URI with paths after ``after``, in byte order."""
        key = await self._key(uri)
        above = f"{key}/"
        offset = f"{above}{after}" if after and self._is_in_order else None
        found: list[ListedBlob] = []
        with translated("list", uri):
            async for page in obstore.list(
                self._store, prefix=above, offset=offset, chunk_size=_PAGE_BLOBS
            ):
                found += (
                    ListedBlob(path, meta["size"])
                    for meta in page
                    if _rank(path := meta["path"].removeprefix(above)) > _rank(after)
                )
                if self._is_in_order and len(found) >= limit:
                    break
        return sorted(found, key=lambda blob: _rank(blob.path))[:limit]

    async def sign_get(self, uri: str, expires: timedelta) -> str | None:
        """Return a URL good for one GET, or None where the store signs nothing."""
        key = await self._key(uri)
        if self.links is None:
            return None
        with translated("sign a link to", uri):
            return await self.links.sign("GET", key, expires)

    async def sign_put(self, uri: str, expires: timedelta, *, replace: bool = True) -> str | None:
        """
        Return a URL good for one PUT, or None where the store signs nothing.

        The PUT must send the :meth:`put_headers`; without ``replace`` it may only create the blob.
        """
        key = await self._key(uri)
        if self.links is None:
            return None
        with translated("sign a link to", uri):
            return await self.links.sign("PUT", key, expires, replace=replace)

    def put_headers(self, *, replace: bool = True) -> Mapping[str, str]:
        """Return the headers that a PUT to a signed URL must send."""
        if self.links is None:
            return {} if replace else IF_ABSENT
        return self.links.put_headers(replace=replace)

    def bucket_key(self, uri: str) -> str:
        """Return the blob's name within its bucket; BlobOutsideError if it lies outside."""
        return self._prefix + self.relative(uri)

    async def _key(self, uri: str) -> str:
        key = self.bucket_key(uri)
        if self._directory is not None:
            await asyncio.to_thread(self._directory.check, key, uri)
        return key

    async def _get(self, uri: str, options: "GetOptions") -> "GetResult":
        key = await self._key(uri)
        with translated("read", uri):
            return await obstore.get_async(self._store, key, options=options)

    async def _put(self, uri: str, content: "bytes | _Source", *, replace: bool = True) -> None:
        key = await self._key(uri)
        if self._directory is None:
            await self._send(uri, key, content, mode="overwrite" if replace else "create")
            return
        draft = self._directory.draft_key(key)
        try:
            await self._send(uri, draft, content)
            with translated("write", uri):
                await asyncio.to_thread(self._directory.publish, draft, key, replace=replace)
        except BaseException:  # also when cancelled: leave no draft
            self._directory.discard(draft)
            raise

    async def _send(
        self, uri: str, key: str, content: "bytes | _Source", *, mode: "PutMode" = "overwrite"
    ) -> None:
        with translated("write", uri):
            await obstore.put_async(
                self._store,
                key,
                content,
                mode=mode,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )


class _Source:
    """
    Iterator of chunks for obstore, which requests each chunk from a separate task.

    A cancelled upload abandons that task; ``close`` cancels it and waits for its end.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._request_task: asyncio.Task[object] | None = None
        self.error: Exception | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._request_task = asyncio.current_task()
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise

    async def close(self) -> None:
        if self._request_task is not None and not self._request_task.done():
            self._request_task.cancel()
            await asyncio.wait({self._request_task})


_CLOCK = SystemClock()


def open_store(base: str, options: AnyOptions | None = None, *, clock: Clock = _CLOCK) -> BlobStore:
    """
    Return the store at ``base``; a missing directory is created.

    ``options`` are those of all stores, or of the base's own kind. Raises ValueError for a base
    that names no store, BlobStoreError for a directory that cannot be created. A bucket is not
    contacted before its first use.
    """
    base = base.rstrip("/")
    scheme, _, path = base.partition("://")
    first, _, below = path.partition("/")
    if below and (reason := _unfit(below)):
        raise ValueError(f"{base!r} {reason}")
    if scheme == "file" and not first and below:
        root = Path(f"/{below}")
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BlobStoreError(f"cannot create the directory of {base}: {error}") from error
        return BlobStore(base, Directory(root), prefix="")
    if first and "@" not in first:  # abfs://container@account is a place that the SDK cannot read
        bucket = open_bucket(scheme, first, all_options(options), clock)
        if bucket is not None:
            return BlobStore(base, bucket, prefix=f"{below}/" if below else "")
    raise ValueError(f"{base!r} is no blob store; give {BASE.accepts}")


def _rank(path: str) -> bytes:
    """Return the sort key of a path: S3 lists by the bytes of the name."""
    return path.encode()


def _unfit(path: str) -> str:
    """Return why a path below the base cannot name a blob; "" if it can."""
    if not path or any(part in {"", ".", ".."} for part in path.split("/")):
        return "has an empty, '.' or '..' part; name a blob below the store's base"
    if not path.isprintable():
        return "has a control character; leave it out of the name"
    if len(path.encode()) > _MAX_KEY_BYTES or any(
        len(part.encode()) > _MAX_PART_BYTES for part in path.split("/")
    ):
        return (
            f"is longer than {_MAX_KEY_BYTES} bytes below the base, or a part of it than"
            f" {_MAX_PART_BYTES}; shorten the name"
        )
    if re.search(r"#\d+$", path):
        return "ends in '#' and digits, which a directory store reserves; rename it"
    return ""
