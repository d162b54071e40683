"""
Downloads blobs to files and uploads files to blobs, concurrently, large ones in parts.

Downloads use one buffer per thread and uploads use sendfile, so memory does not grow with
sizes. An upload has its CRC-32 in its link or carries its MD5, and the store rejects other
bytes; a download is checked against its length, its ETag (all parts of one version) and,
where the store provides it, its MD5.
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
from dataplane.copilot.errors import (
    InvalidDataError,
    TransferError,
    TransferRefusedError,
    TransientError,
)
from dataplane.copilot.pool import Pool, Work
from dataplane.copilot.retries import Retries, raise_for
from dataplane.copilot.urls import (
    BATCH,
    Link,
    ListedBlob,
    NewBlob,
    PartedUpload,
    RenewableLink,
    SentPart,
    UrlSource,
)

_log = logging.getLogger(__name__)

PART_BYTES = 16 * 1024 * 1024
"""Bytes of a blob that one request downloads."""

_PUBLIC = ("http://", "https://")
_MAX_ANSWER_BYTES = 64 * 1024  # of the response to a PUT
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """A blob to download to ``path``, whose directory exists."""

    uri: str
    path: Path


@dataclass(frozen=True, slots=True)
class Send:
    """A file to upload; ``size`` is its size when it was collected."""

    path: Path
    uri: str
    size: int


class Transfers:
    """Runs transfers in a pool; methods return when all are done, or raise the first error."""

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
        """Iterate over the blobs below a URI in order, page by page."""
        after, more = "", True
        while more:
            page = self._retries.run(partial(self._source.list_blobs, uri, after=after))
            yield from page.blobs
            more = page.more
            after = page.blobs[-1].path if page.blobs else after

    def fetch_bytes(self, uri: str, limit: int) -> bytes:
        """Return the whole blob; InvalidDataError if it has more than ``limit`` bytes."""

        def attempt(link: Link) -> bytes:
            with self._connections.request("GET", link.url, headers=link.headers) as answer:
                raise_for(answer, f"cannot download {uri}")
                body = bytearray()
                for chunk in answer.chunks(self._connections.buffer):
                    body += chunk
                    if len(body) > limit:
                        raise InvalidDataError(
                            f"{uri} has more than {limit} bytes; pass large data as files",
                            code="InputTooLarge",
                        )
                checks.require_md5(checks.known_md5(answer), checksums.md5([body]), uri)
                return bytes(body)

        return self._with(self._renewable_get(uri), attempt)

    def fetch(self, fetches: Iterable[Fetch]) -> None:
        """Download blobs to files."""
        self._pool.run(self._fetches(iter(fetches)), "downloading inputs")

    def send_bytes(self, uri: str, body: bytes) -> None:
        """Upload a small blob, replacing an existing one."""
        link = self._renewable_put(NewBlob(uri, len(body)))
        self._with(link, lambda link: self._put(link, uri, body))

    def send(self, files: Iterable[Send]) -> None:
        """Upload files; on failure abort unfinished multipart uploads, so no parts stay behind."""
        try:
            self._pool.run(self._sends(iter(files)), "uploading outputs")
        except BaseException:
            self._abandon()
            raise

    def _fetches(self, fetches: Iterator[Fetch]) -> Iterator[Work]:
        while batch := list(islice(fetches, BATCH)):
            uris = [fetch.uri for fetch in batch]
            links = self._retries.run(partial(self._links_to_get, uris))
            for fetch, link in zip(batch, links, strict=True):
                yield partial(self._fetch_first, fetch, self._renewable_get(fetch.uri, link))

    def _fetch_first(self, fetch: Fetch, link: RenewableLink) -> Sequence[Work]:
        """Download a blob's first part; return the work items for its other parts, if any."""
        version, received = self._with(link, lambda link: self._get_first(link, fetch))
        self._note(fetch.uri, version.size)
        return [
            partial(self._fetch_part, fetch, link, version, start)
            for start in range(received, version.size, PART_BYTES)
        ]

    def _get_first(self, link: Link, fetch: Fetch) -> tuple[Version, int]:
        headers = {**link.headers, "Range": f"bytes=0-{PART_BYTES - 1}"}
        with (
            self._connections.request("GET", link.url, headers=headers) as answer,
            checks.created(fetch.path) as file,
        ):
            if answer.status == 416:  # an empty blob has no first byte
                return Version(0, ""), 0
            raise_for(answer, f"cannot download {fetch.uri}")
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
        self, fetch: Fetch, link: RenewableLink, version: Version, start: int
    ) -> Sequence[Work]:
        end = min(start + PART_BYTES, version.size)

        def attempt(link: Link) -> None:
            headers = {**link.headers, "Range": f"bytes={start}-{end - 1}"}
            with (
                self._connections.request("GET", link.url, headers=headers) as answer,
                checks.existing(fetch.path) as file,
            ):
                raise_for(answer, f"cannot download bytes {start} to {end} of {fetch.uri}")
                if checks.read_version(answer, start, fetch.uri) != version:
                    raise TransientError(
                        f"{fetch.uri} was overwritten while it was being downloaded", tries=1
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

    def _send_whole(self, send: Send, link: RenewableLink) -> Sequence[Work]:
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
                crc32 = checksums.crc32(self._chunks(body)) if upload.needs_crc32 else ""
                return self._source.link_to_part(upload, number, crc32=crc32)

            part = self._with(
                RenewableLink(request_link), lambda link: self._put(link, send.uri, body)
            )
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
        """Abort the unfinished multipart uploads, so that the store keeps no orphaned parts."""
        with self._lock:
            begun, self._begun = self._begun, []
        for upload in begun:
            try:
                self._source.abandon(upload)
            except TransferError:
                _log.warning("upload not aborted", extra={"uri": upload.uri}, exc_info=True)

    def _put(self, link: Link, uri: str, body: bytes | Slice) -> SentPart:
        """Send a PUT; the store rejects a body whose checksum differs from the link's or header's."""
        headers = dict(link.headers)
        if not link.crc32:
            headers["Content-MD5"] = checksums.in_base64(checksums.md5(self._chunks(body)))
        with self._connections.request("PUT", link.url, headers=headers, body=body) as answer:
            raise_for(answer, f"cannot upload {uri}")
            answer.read(_MAX_ANSWER_BYTES)
        if link.crc32:
            checks.require_crc32(answer, link.crc32, lambda: checksums.md5(self._chunks(body)), uri)
        return SentPart(answer.header("ETag") or "-", link.crc32)

    def _chunks(self, body: bytes | Slice) -> Iterable[bytes | memoryview]:
        return [body] if isinstance(body, bytes) else body.chunks(self._connections.buffer)

    def _with(self, link: RenewableLink, attempt: Callable[[Link], _T]) -> _T:
        return self._retries.run(lambda: link.use(attempt))

    def _links_to_get(self, uris: Sequence[str]) -> list[Link]:
        """Request links; an http(s) URI is its own link."""
        signed = [uri for uri in uris if not uri.startswith(_PUBLIC)]
        links = iter(self._source.links_to_get(signed) if signed else [])
        return [Link(uri) if uri.startswith(_PUBLIC) else next(links) for uri in uris]

    def _renewable_get(self, uri: str, link: Link | None = None) -> RenewableLink:
        return RenewableLink(lambda: self._links_to_get([uri])[0], link)

    def _renewable_put(self, blob: NewBlob, link: Link | None = None) -> RenewableLink:
        def request_link() -> Link:
            link = self._source.links_to_put([blob])[0]
            if isinstance(link, PartedUpload):
                raise TransferRefusedError(
                    f"the signer requires a multipart upload of {blob.uri}, and did not before"
                )
            return link

        return RenewableLink(request_link, link)

    def _note(self, uri: str, size: int) -> None:
        with self._lock:
            self.blob_count += 1
            self.byte_count += size
        _log.debug("blob transferred", extra={"uri": uri, "size": size})
