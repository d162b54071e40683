"""
Sources of signed URLs: a file of presigned links, or a signing endpoint.

The endpoint accepts ``POST`` of JSON, with the attempt's token as ``Authorization: Bearer
…``, below its own address:

    get       {"uris": [uri, …]}                   {"links": [link, …]}
    list      {"uri": uri, "after": path}          {"blobs": [{"path", "size"}], "more": true}
    put       {"blobs": [{"uri", "size"}, …],      {"links": [link | upload, …]}
               "checksums": ["crc32"]}
    parts     {"upload": id, "uri",                {"links": [link, …]}
               "numbers": […], "crc32": […]}
    complete  {"upload": id, "uri",                {}
               "etags": […], "crc32": […]}
    abandon   {"upload": id, "uri"}                {}

A ``link`` is ``{"url", "headers"}`` or ``{"refusal": sentence}``; links are in the order
of the request. An ``upload`` is ``{"upload": id, "part_bytes": n, "checksum": "crc32"}``:
the blob is uploaded in parts, numbered from 1. If it names the checksum, which it does only
for a client that has listed it in ``checksums``, the client sends each part's in S3's form:
a link to a part is only for bytes with that CRC-32, which its headers repeat. ``list``
returns paths below the URI in order, after the given path. ``complete`` and ``abandon`` are
idempotent. 401, 403, 408, 429 and 5xx are retried, after ``Retry-After``; any other 4xx is
permanent, and its body is the reason.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from dataplane.copilot.checks import CRC32
from dataplane.copilot.connections import Connections
from dataplane.copilot.errors import (
    HandoffError,
    MissingError,
    TransferRefusedError,
    TransientError,
)
from dataplane.copilot.retries import raise_for

BATCH = 256
"""Links per request."""

_T = TypeVar("_T")
_Json = Mapping[str, object]
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """A signed URL, and the headers that have to be sent with it."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def crc32(self) -> str:
        """The checksum that the store requires of the body; "" if the link has none."""
        return self.headers.get(CRC32, "")


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to be uploaded."""

    uri: str
    size: int


@dataclass(frozen=True, slots=True)
class PartedUpload:
    """A started multipart upload with parts of ``part_bytes``; the last may be shorter."""

    uri: str
    id: str
    part_bytes: int
    needs_crc32: bool = False  # of each part


@dataclass(frozen=True, slots=True)
class SentPart:
    """An uploaded part; ``crc32`` is the checksum that its link was signed for."""

    etag: str
    crc32: str


@dataclass(frozen=True, slots=True)
class ListedBlob:
    path: str  # relative to the listed URI, not validated
    size: int


class RenewableLink:
    """A link shared by threads; after a transient failure the next use requests a fresh one."""

    def __init__(self, request_link: Callable[[], Link], link: Link | None = None) -> None:
        self._request_link = request_link
        self._link = link
        self._lock = threading.Lock()

    def use(self, attempt: Callable[[Link], _T]) -> _T:
        """Run ``attempt`` with the link; after a TransientError the next use has a fresh one."""
        with self._lock:
            link = self._link = self._link or self._request_link()
        try:
            return attempt(link)
        except TransientError:
            with self._lock:
                if self._link is link:
                    self._link = None
            raise


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    blobs: Sequence[ListedBlob]
    more: bool


class UrlSource(Protocol):
    """
    Source of signed URLs: TransferRefusedError for permanent failures, TransientError for transient ones.

    Implementations do not retry. ``list_blobs`` returns the blobs after the path ``after``.
    """

    def links_to_get(self, uris: Sequence[str]) -> list[Link]: ...
    def links_to_put(self, blobs: Sequence[NewBlob]) -> list[Link | PartedUpload]: ...
    def link_to_part(self, upload: PartedUpload, number: int, *, crc32: str) -> Link: ...
    def complete(self, upload: PartedUpload, parts: Sequence[SentPart]) -> None: ...
    def abandon(self, upload: PartedUpload) -> None: ...
    def list_blobs(self, uri: str, *, after: str) -> Page: ...


class PresignedUrls:
    """
    Presigned links from a file, ``{"get": {uri: link}, "put": {…}, "list": {uri: [blob, …]}}``.

    TransferRefusedError for a URI without a link. Links cannot be renewed, so sign them for long enough.
    """

    def __init__(self, path: Path) -> None:
        try:
            fields = json.loads(path.read_bytes())
            self._links = {verb: dict(fields.get(verb, {})) for verb in ("get", "put", "list")}
        except (OSError, ValueError, AttributeError) as error:
            raise HandoffError(f"{path} is not a file of links: {error}") from error
        self._path = path

    def links_to_get(self, uris: Sequence[str]) -> list[Link]:
        return [self._link("get", uri) for uri in uris]

    def links_to_put(self, blobs: Sequence[NewBlob]) -> list[Link | PartedUpload]:
        return [self._link("put", blob.uri) for blob in blobs]

    def link_to_part(self, upload: PartedUpload, number: int, *, crc32: str) -> Link:  # noqa: ARG002
        raise TransferRefusedError(f"{self._path} has no link to part {number} of {upload.uri}")

    def complete(self, upload: PartedUpload, parts: Sequence[SentPart]) -> None:
        raise TransferRefusedError(
            f"{self._path} cannot complete {upload.uri} of {len(parts)} parts"
        )

    def abandon(self, upload: PartedUpload) -> None:
        raise TransferRefusedError(f"{self._path} cannot abandon {upload.uri}")

    def list_blobs(self, uri: str, *, after: str) -> Page:
        if uri not in self._links["list"]:
            raise TransferRefusedError(f"{self._path} does not list {uri}; list it beforehand")
        blobs = [_listed(blob) for blob in _list_of(self._links["list"], uri)]
        return Page([blob for blob in blobs if blob.path > after], more=False)

    def _link(self, verb: str, uri: str) -> Link:
        if uri not in self._links[verb]:
            raise TransferRefusedError(
                f"{self._path} has no link to {verb} {uri}; sign one beforehand"
            )
        return _link(self._links[verb][uri], uri)


class EndpointUrls:
    """Links from a signing endpoint; the token is read per request, because it is rotated."""

    def __init__(self, endpoint: str, connections: Connections, *, token_file: Path | None) -> None:
        self._endpoint = endpoint
        self._connections = connections
        self._token_file = token_file

    def links_to_get(self, uris: Sequence[str]) -> list[Link]:
        answer = self._request("get", {"uris": list(uris)})
        return [_link(fields, uri) for fields, uri in _each(answer, uris)]

    def links_to_put(self, blobs: Sequence[NewBlob]) -> list[Link | PartedUpload]:
        payload = [{"uri": blob.uri, "size": blob.size} for blob in blobs]
        answer = self._request("put", {"blobs": payload, "checksums": ["crc32"]})
        return [
            _upload(fields, blob.uri) if "upload" in fields else _link(fields, blob.uri)
            for fields, blob in _each(answer, blobs)
        ]

    def link_to_part(self, upload: PartedUpload, number: int, *, crc32: str) -> Link:
        sums = {"crc32": [crc32]} if upload.needs_crc32 else {}
        answer = self._request("parts", {**_named(upload), "numbers": [number], **sums})
        return next(_link(fields, upload.uri) for fields, _ in _each(answer, [number]))

    def complete(self, upload: PartedUpload, parts: Sequence[SentPart]) -> None:
        sums = {"crc32": [part.crc32 for part in parts]} if upload.needs_crc32 else {}
        etags = [part.etag for part in parts]
        self._request("complete", {**_named(upload), "etags": etags, **sums})

    def abandon(self, upload: PartedUpload) -> None:
        self._request("abandon", _named(upload))

    def list_blobs(self, uri: str, *, after: str) -> Page:
        answer = self._request("list", {"uri": uri, "after": after})
        blobs = [_listed(blob) for blob in _list_of(answer, "blobs")]
        return Page(blobs, more=bool(answer.get("more")) and bool(blobs))

    def _request(self, verb: str, payload: Mapping[str, object]) -> Mapping[str, object]:
        body = json.dumps(payload).encode()
        headers = {"Content-Type": "application/json", **self._authorization()}
        url = f"{self._endpoint}/{verb}"
        with self._connections.request("POST", url, headers=headers, body=body) as answer:
            raise_for(answer, f"POST {url} failed")
            text = answer.read(_MAX_ANSWER_BYTES)
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise TransientError(f"the response of {url} is not JSON: {text[:200]!r}") from error
        if not isinstance(fields, dict):
            raise TransferRefusedError(
                f"the response of {url} is not a JSON object: {text[:200]!r}"
            )
        return fields

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            raise TransientError(f"cannot read the token file: {error}", tries=5) from error
        return {"Authorization": f"Bearer {token}"}


def _named(upload: PartedUpload) -> dict[str, object]:
    return {"upload": upload.id, "uri": upload.uri}


def _each(answer: Mapping[str, object], asked: Sequence[_T]) -> Iterator[tuple[_Json, _T]]:
    links = _list_of(answer, "links")
    if len(links) != len(asked):
        raise TransferRefusedError(
            f"{len(asked)} links were requested, the signer returned {len(links)}"
        )
    yield from zip(links, asked, strict=True)


def _list_of(answer: Mapping[str, object], name: str) -> list[_Json]:
    found = answer.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise TransferRefusedError(f"the signer's response has no list {name!r}")
    return found


def _link(fields: _Json, uri: str) -> Link:
    if fields.get("refusal"):
        error = MissingError if fields.get("missing") else TransferRefusedError
        raise error(f"no link to {uri}: {fields['refusal']}")
    url, headers = fields.get("url"), fields.get("headers") or {}
    if not isinstance(url, str) or not isinstance(headers, dict):
        raise TransferRefusedError(f"the signer's response has no link to {uri}")
    return Link(url, {str(name): str(value) for name, value in headers.items()})


def _upload(fields: _Json, uri: str) -> PartedUpload:
    part_bytes = fields.get("part_bytes")
    if not isinstance(part_bytes, int) or part_bytes < 1:
        raise TransferRefusedError(f"the signer's upload of {uri} has no part_bytes")
    return PartedUpload(
        uri, str(fields["upload"]), part_bytes, needs_crc32=fields.get("checksum") == "crc32"
    )


def _listed(fields: _Json) -> ListedBlob:
    path, size = fields.get("path"), fields.get("size")
    if not isinstance(path, str) or not isinstance(size, int):
        raise TransferRefusedError("the signer's listing has a blob without path or size")
    return ListedBlob(path, size)
