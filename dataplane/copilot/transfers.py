"""
Blobs to files and files to blobs, many at once and large ones in parts.

Bytes go from socket to file through one buffer a thread and back in the kernel, so memory
does not grow with sizes. What is sent has its CRC-32 in its link or carries its MD5, and the
store refuses what arrives otherwise; what is fetched is held to its length, its ETag (all
parts of one version) and, where the store tells it, its MD5.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from dataplane.copilot import checks, checksums
from dataplane.copilot.checks import Version
from dataplane.copilot.connections import Connections, Slice
from dataplane.copilot.errors import PassingError, RefusedError, TransferError, UnfitError
from dataplane.copilot.pool import Pool, Work
from dataplane.copilot.retries import Retries, raise_for
from dataplane.copilot.urls import (
    BATCH,
    Link,
    ListedBlob,
    NewBlob,
    PartedUpload,
    Renewable,
    SentPart,
    UrlSource,
)

_log = logging.getLogger(__name__)

PART_BYTES = 16 * 1024 * 1024
"""How much of a blob one request fetches."""

_PUBLIC = ("http://", "https://")
_MOST_ANSWER_BYTES = 64 * 1024  # of the answer to a PUT
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """A blob to be brought to ``path``, whose directory is there."""

    uri: str
    path: Path


@dataclass(frozen=True, slots=True)
class Send:
    """A file to be shipped; ``size`` is what it had when it was looked at."""

    path: Path
    uri: str
    size: int


class Transfers:
    """All methods return when everything is done, or raise what went wrong first."""

    def __init__(
        self, source: UrlSource, connections: Connections, retries: Retries, pool: Pool
    ) -> None:
        self._source = source
        self._connections = connections
        self._retries = retries
        self._pool = pool
        self._lock = threading.Lock()
        self._begun: list[PartedUpload] = []
        self.blob_count = 0
        self.byte_count = 0

    def list_blobs(self, uri: str) -> Iterator[ListedBlob]:
        """Everything below a URI, in order, as it is listed page by page."""
        after, more = "", True
        while more:
            page = self._retries.run(partial(self._source.list_blobs, uri, after=after))
            yield from page.blobs
            more = page.more
            after = page.blobs[-1].path if page.blobs else after

    def fetch_bytes(self, uri: str, limit: int) -> bytes:
        """Return the whole blob; UnfitError if it has more than ``limit`` bytes."""

        def attempt(link: Link) -> bytes:
            with self._connections.request_link("GET", link.url, headers=link.headers) as answer:
                raise_for(answer, f"cannot fetch {uri}")
                body = bytearray()
                for chunk in answer.chunks(self._connections.buffer):
                    body += chunk
                    if len(body) > limit:
                        raise UnfitError(
                            f"{uri} has more than {limit} bytes; pass large data as files",
                            code="InputTooLarge",
                        )
                checks.require_md5(checks.known_md5(answer), checksums.md5([body]), uri)
                return bytes(body)

        return self._with(self._renewable_get(uri), attempt)

    def fetch(self, desired: Iterable[Fetch]) -> None:
        self._pool.run(self._fetches(iter(desired)), "bringing inputs")

    def send_bytes(self, uri: str, body: bytes) -> None:
        """Write a small blob, replacing what is there."""
        link = self._renewable_put(NewBlob(uri, len(body)))
        self._with(link, lambda link: self._put(link, uri, body))

    def send(self, files: Iterable[Send]) -> None:
        """Nothing of a large file is left in the store if it cannot be shipped whole."""
        try:
            self._pool.run(self._sends(iter(files)), "shipping outputs")
        except BaseException:
            self._abandon()
            raise

    def _fetches(self, desired: Iterator[Fetch]) -> Iterator[Work]:
        while batch := list(islice(desired, BATCH)):
            uris = [fetch.uri for fetch in batch]
            links = self._retries.run(partial(self._links_to_get, uris))
            for fetch, link in zip(batch, links, strict=True):
                yield partial(self._fetch_first, fetch, self._renewable_get(fetch.uri, link))

    def _fetch_first(self, fetch: Fetch, link: Renewable) -> Sequence[Work]:
        """Fetch all of a small blob; of a large one the first part, and learn of the others."""
        version, received = self._with(link, lambda link: self._get_first(link, fetch))
        self._note(fetch.uri, version.size)
        return [
            partial(self._fetch_part, fetch, link, version, start)
            for start in range(received, version.size, PART_BYTES)
        ]

    def _get_first(self, link: Link, fetch: Fetch) -> tuple[Version, int]:
        headers = {**link.headers, "Range": f"bytes=0-{PART_BYTES - 1}"}
        with (
            self._connections.request_link("GET", link.url, headers=headers) as answer,
            checks.created(fetch.path) as file,
        ):
            if answer.status == 416:  # an empty blob has no first byte to give
                return Version(0, ""), 0
            raise_for(answer, f"cannot fetch {fetch.uri}")
            version = checks.read_version(answer, 0, fetch.uri)
            is_whole = answer.status == 200 or version.size <= PART_BYTES
            digest = hashlib.md5(usedforsecurity=False)
            at = 0
            if not is_whole:
                os.posix_fallocate(file, 0, version.size)
            for chunk in answer.chunks(self._connections.buffer):
                if is_whole:
                    digest.update(chunk)
                at += checks.write_all(file, chunk, at)
            if is_whole:
                checks.require_md5(checks.known_md5(answer), digest.digest(), fetch.uri)
                return Version(at, version.etag), at
            return version, at

    def _fetch_part(
        self, fetch: Fetch, link: Renewable, version: Version, start: int
    ) -> Sequence[Work]:
        end = min(start + PART_BYTES, version.size)

        def attempt(link: Link) -> None:
            headers = {**link.headers, "Range": f"bytes={start}-{end - 1}"}
            with (
                self._connections.request_link("GET", link.url, headers=headers) as answer,
                checks.existing(fetch.path) as file,
            ):
                raise_for(answer, f"cannot fetch bytes {start} to {end} of {fetch.uri}")
                if checks.read_version(answer, start, fetch.uri) != version:
                    raise PassingError(
                        f"{fetch.uri} was written anew while it was being fetched", tries=1
                    )
                at = start
                for chunk in answer.chunks(self._connections.buffer):
                    at += checks.write_all(file, chunk, at)

        self._with(link, attempt)
        return []

    def _sends(self, files: Iterator[Send]) -> Iterator[Work]:
        while batch := list(islice(files, BATCH)):
            blobs = [NewBlob(send.uri, send.size) for send in batch]
            links = self._retries.run(partial(self._source.links_to_put, blobs))
            for send, blob, link in zip(batch, blobs, links, strict=True):
                if isinstance(link, PartedUpload):
                    yield partial(self._start_parts, send, link)
                else:
                    yield partial(self._send_whole, send, self._renewable_put(blob, link))

    def _send_whole(self, send: Send, link: Renewable) -> Sequence[Work]:
        with checks.opened(send.path, send.size) as file:
            body = Slice(file, 0, send.size)
            self._with(link, lambda link: self._put(link, send.uri, body))
        self._note(send.uri, send.size)
        return []

    def _start_parts(self, send: Send, upload: PartedUpload) -> Sequence[Work]:
        with self._lock:
            self._begun.append(upload)
        count = -(-send.size // upload.part_bytes)
        sent: dict[int, SentPart] = {}
        return [
            partial(self._send_part, send, upload, number, count, sent)
            for number in range(1, count + 1)
        ]

    def _send_part(
        self, send: Send, upload: PartedUpload, number: int, count: int, sent: dict[int, SentPart]
    ) -> Sequence[Work]:
        start = (number - 1) * upload.part_bytes
        with checks.opened(send.path, send.size) as file:
            body = Slice(file, start, min(upload.part_bytes, send.size - start))

            def request_link() -> Link:
                crc32 = checksums.crc32(self._chunks(body)) if upload.wants_crc32 else ""
                return self._source.link_to_part(upload, number, crc32=crc32)

            part = self._with(Renewable(request_link), lambda link: self._put(link, send.uri, body))
        with self._lock:
            sent[number] = part
            if len(sent) < count:
                return []
        return [partial(self._complete, send, upload, [sent[at + 1] for at in range(count)])]

    def _complete(
        self, send: Send, upload: PartedUpload, parts: Sequence[SentPart]
    ) -> Sequence[Work]:
        self._retries.run(partial(self._source.complete, upload, parts))
        with self._lock:
            self._begun.remove(upload)
        self._note(send.uri, send.size)
        return []

    def _abandon(self) -> None:
        """Give up what has begun, so that nobody pays for parts of nothing."""
        with self._lock:
            begun, self._begun = self._begun, []
        for upload in begun:
            try:
                self._source.abandon(upload)
            except TransferError:
                _log.warning("parts left in the store", extra={"uri": upload.uri}, exc_info=True)

    def _put(self, link: Link, uri: str, body: bytes | Slice) -> SentPart:
        """Send it; the store refuses a body with another checksum than link or header say."""
        headers = dict(link.headers)
        if not link.crc32:
            headers["Content-MD5"] = checksums.in_base64(checksums.md5(self._chunks(body)))
        with self._connections.request_link("PUT", link.url, headers=headers, body=body) as answer:
            raise_for(answer, f"cannot ship {uri}")
            answer.read(_MOST_ANSWER_BYTES)
        if link.crc32:
            checks.require_crc32(answer, link.crc32, lambda: checksums.md5(self._chunks(body)), uri)
        return SentPart(answer.header("ETag") or "-", link.crc32)

    def _chunks(self, body: bytes | Slice) -> Iterable[bytes | memoryview]:
        return [body] if isinstance(body, bytes) else body.chunks(self._connections.buffer)

    def _with(self, link: Renewable, attempt: Callable[[Link], _T]) -> _T:
        return self._retries.run(lambda: link.use(attempt))

    def _links_to_get(self, uris: Sequence[str]) -> list[Link]:
        """Ask for links; a blob that is on the public web is its own."""
        signed = [uri for uri in uris if not uri.startswith(_PUBLIC)]
        links = iter(self._source.links_to_get(signed) if signed else [])
        return [Link(uri) if uri.startswith(_PUBLIC) else next(links) for uri in uris]

    def _renewable_get(self, uri: str, link: Link | None = None) -> Renewable:
        return Renewable(lambda: self._links_to_get([uri])[0], link)

    def _renewable_put(self, blob: NewBlob, link: Link | None = None) -> Renewable:
        def request_link() -> Link:
            link = self._source.links_to_put([blob])[0]
            if isinstance(link, PartedUpload):
                raise RefusedError(f"the signer wants {blob.uri} in parts now, and did not before")
            return link

        return Renewable(request_link, link)

    def _note(self, uri: str, size: int) -> None:
        with self._lock:
            self.blob_count += 1
            self.byte_count += size
        _log.debug("moved", extra={"uri": uri, "size": size})
