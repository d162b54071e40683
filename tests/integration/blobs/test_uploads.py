"""Multipart uploads with presigned parts, on a real S3 server."""

import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.keys import AccessKeys
from shared.blobs.multipart import open_uploads
from shared.blobs.options import S3Options
from shared.blobs.store import BlobStore, open_store
from shared.blobs.uploads import CRC32, Part, Uploads
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText
from tests.servers.http import serving
from tests.servers.seaweed import S3ForTests

_MINUTE = timedelta(minutes=1)
_PART = b"p" * (5 * 1024 * 1024)
_NAMES = ["plain", "with space", "ä+b&c=d", "percent%20", "a=b,c;d@e"]


@pytest.fixture
async def store(s3_server: S3ForTests) -> BlobStore:
    made = open_store(s3_server.new_base(), s3_server.options)
    await made.write(made.uri("first"), b"makes the bucket")
    return made


@pytest.fixture
def uploads(store: BlobStore, s3_server: S3ForTests) -> Uploads:
    now = SystemClock().now
    return open_uploads(store, AccessKeys(s3_server.options, now), now)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("crc32", [True, False])
@pytest.mark.parametrize("name", _NAMES)
async def test_multipart_upload_assembles_parts(
    store: BlobStore,
    uploads: Uploads,
    http: httpx.AsyncClient,
    name: str,
    crc32: bool,  # noqa: FBT001
) -> None:
    uri = store.uri(f"directory/{name}")
    upload = await uploads.begin(uri, crc32=crc32)
    assert upload.wants_crc32 == crc32
    parts = []
    for number, body in enumerate([_PART, b"the end"], start=1):
        checksum = _crc32(body) if crc32 else ""
        link = await uploads.sign_part(uri, upload.id, number, _MINUTE, crc32=checksum)
        sent = await http.put(link, content=body, headers={CRC32: checksum} if crc32 else {})
        assert sent.status_code == 200, sent.text
        assert sent.headers.get(CRC32, "") == checksum
        parts.append(Part(sent.headers["etag"], checksum))

    await uploads.complete(uri, upload.id, parts)
    await uploads.complete(
        uri, upload.id, parts
    )  # retried, as by a client that received no response

    assert await store.read(uri, limit=2**23) == _PART + b"the end"


async def test_multipart_upload_rejects_part_with_wrong_checksum(
    store: BlobStore, uploads: Uploads, http: httpx.AsyncClient
) -> None:
    uri, checksum = store.uri("checked"), _crc32(_PART)
    upload = (await uploads.begin(uri, crc32=True)).id
    link = await uploads.sign_part(uri, upload, 1, _MINUTE, crc32=checksum)

    altered = await http.put(link, content=b"x" + _PART[1:], headers={CRC32: checksum})
    assert (altered.status_code, "BadDigest" in altered.text) == (400, True), altered.text
    other = {CRC32: _crc32(b"x" + _PART[1:])}
    assert (await http.put(link, content=_PART, headers=other)).status_code == 403
    assert (await http.put(link, content=_PART)).status_code == 403
    good = await http.put(link, content=_PART, headers={CRC32: checksum})
    assert good.status_code == 200, good.text
    await uploads.abandon(uri, upload)


@pytest.mark.parametrize("status", [400, 501, 200])
async def test_multipart_upload_without_checksum_support(status: int) -> None:
    """Some refuse the header, others do as if it were not there."""

    async def begin(request: Request) -> Response:
        if "x-amz-checksum-algorithm" in request.headers and status != 200:
            return Response("<Error><Code>NotImplemented</Code></Error>", status)
        return Response("<R><UploadId>an-upload</UploadId></R>")

    now = SystemClock().now
    async with serving(Starlette(routes=[Route("/{k:path}", begin, methods=["POST"])])) as url:
        key = S3Options(
            endpoint=url,
            region="us-east-1",
            access_key="any",
            secret_key=SecretText("any"),
            allow_http=True,
        )
        other = open_store("s3://bucket/base", key)
        upload = await open_uploads(other, AccessKeys(key, now), now).begin(
            other.uri("any"), crc32=True
        )

    assert (upload.id, upload.wants_crc32) == ("an-upload", False)


async def test_multipart_upload_aborted_rejects_parts(
    store: BlobStore, uploads: Uploads, http: httpx.AsyncClient
) -> None:
    uri = store.uri("given-up")
    upload = (await uploads.begin(uri)).id
    await uploads.abandon(uri, upload)
    await uploads.abandon(uri, upload)

    link = await uploads.sign_part(uri, upload, 1, _MINUTE)
    assert (await http.put(link, content=b"late")).status_code == 404
    with pytest.raises(BlobNotFoundError):
        await uploads.complete(uri, upload, [Part('"0"')])
    assert not await store.exists(uri)


async def test_multipart_upload_link_is_valid_for_its_part_only(
    store: BlobStore, uploads: Uploads, http: httpx.AsyncClient
) -> None:
    uri = store.uri("bound")
    upload = (await uploads.begin(uri)).id
    link = await uploads.sign_part(uri, upload, 1, _MINUTE)

    assert (await http.put(link.replace("partNumber=1", "partNumber=2"))).status_code == 403
    assert (await http.put(link.replace("bound", "other"))).status_code == 403
    await uploads.abandon(uri, upload)


async def test_multipart_upload_link_expires(
    store: BlobStore, s3_server: S3ForTests, http: httpx.AsyncClient
) -> None:
    def earlier() -> datetime:
        return datetime.now(UTC) - timedelta(hours=2)  # noqa: TID251 -- what a clock would say

    late = open_uploads(store, AccessKeys(s3_server.options, earlier), earlier)
    link = await late.sign_part(store.uri("late"), "an-upload", 1, _MINUTE)

    assert (await http.put(link, content=b"late")).status_code == 403


async def test_multipart_upload_with_wrong_key_is_rejected(store: BlobStore) -> None:
    now = SystemClock().now
    wrong = S3Options(access_key="nobody", secret_key=SecretText("nothing"))
    with pytest.raises(BlobStoreError, match="could not begin an upload"):
        await open_uploads(store, AccessKeys(wrong, now), now).begin(store.uri("any"))


async def test_directory_store_has_no_multipart_uploads(tmp_path: object) -> None:
    directory = open_store(f"file://{tmp_path}/blobs")
    now = SystemClock().now
    key = S3Options(access_key="any", secret_key=SecretText("any"))
    with pytest.raises(BlobStoreError, match="cannot sign links"):
        await open_uploads(directory, AccessKeys(key, now), now).begin(directory.uri("any"))


@pytest.mark.parametrize("kind", ["bucket", "directory"])
async def test_list_blobs_in_order_and_in_pages(
    store: BlobStore, tmp_path: Path, kind: str
) -> None:
    if kind == "directory":
        store = open_store(f"file://{tmp_path}/blobs")
    for name in ["b", "a/2", "a/1", "a-", "c/d/e", "ä"]:
        await store.write(store.uri(f"listed/{name}"), name.encode())
    await store.write(store.uri("listed-not/x"), b"")

    whole = await store.list_below(store.uri("listed"), limit=100)
    assert [blob.path for blob in whole] == ["a-", "a/1", "a/2", "b", "c/d/e", "ä"]
    assert [blob.size for blob in whole] == [2, 3, 3, 1, 5, 2]

    paged: list[str] = []
    while page := await store.list_below(
        store.uri("listed"), after=paged[-1] if paged else "", limit=2
    ):
        paged += [blob.path for blob in page]
    assert paged == [blob.path for blob in whole]
    assert await store.list_below(store.uri("nothing-here"), limit=2) == []


def _crc32(body: bytes) -> str:
    return b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
