"""Contract of uploads in parts: S3, Google's interface and Azure's blocks, by signed links."""

import hashlib
from datetime import timedelta

import httpx
import pytest

from shared.blobs.errors import BlobError
from shared.blobs.keys import AccessKeys
from shared.blobs.multipart import open_uploads
from shared.blobs.store import BlobStore
from shared.blobs.uploads import Part, Uploads
from shared.kit.clock import SystemClock
from tests.servers.seaweed import S3ForTests

_MINUTE = timedelta(minutes=1)
_NAMES = ["plain", "odd/a b%20é+&=?"]
_SIZES = [5 * 1024 * 1024, 5 * 1024 * 1024, 1000]


@pytest.fixture
def uploads(bucket: BlobStore, s3_server: S3ForTests) -> Uploads:
    now = SystemClock().now
    return open_uploads(bucket, AccessKeys(s3_server.options, now), now)


async def _send_parts(uploads: Uploads, uri: str, upload: str, content: bytes) -> list[Part]:
    parts = []
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for number, size in enumerate(_SIZES, start=1):
            start = sum(_SIZES[: number - 1])
            link = await uploads.sign_part(uri, upload, number, _MINUTE)
            answer = await http.put(link, content=content[start : start + size])
            assert answer.is_success, answer.text
            parts.append(Part(answer.headers.get("etag", "-")))
    return parts


@pytest.mark.parametrize("name", _NAMES)
async def test_parts_sent_by_links_become_the_blob(
    bucket: BlobStore, uploads: Uploads, name: str
) -> None:
    uri = bucket.uri(name)
    content = hashlib.shake_128(name.encode()).digest(sum(_SIZES))
    upload = await uploads.begin(uri)
    parts = await _send_parts(uploads, uri, upload.id, content)
    assert not await bucket.exists(uri)

    await uploads.complete(uri, upload.id, parts)
    await uploads.complete(uri, upload.id, parts)  # its first answer was lost

    assert await bucket.read(uri, limit=len(content)) == content


async def test_parts_that_were_never_sent_make_no_blob(bucket: BlobStore, uploads: Uploads) -> None:
    uri = bucket.uri("never")
    upload = await uploads.begin(uri)

    with pytest.raises(BlobError, match=r"could not complete the upload of|does not exist"):
        await uploads.complete(uri, upload.id, [Part('"0123456789abcdef"')])

    assert not await bucket.exists(uri)


async def test_abandoned_upload_leaves_the_blob_as_it_was(
    bucket: BlobStore, uploads: Uploads
) -> None:
    uri = bucket.uri("kept")
    await bucket.write(uri, b"as it was")
    upload = await uploads.begin(uri)
    await _send_parts(uploads, uri, upload.id, b"x" * sum(_SIZES))

    await uploads.abandon(uri, upload.id)
    await uploads.abandon(uri, upload.id)

    assert await bucket.read(uri, limit=100) == b"as it was"


async def test_link_to_a_part_is_good_for_its_blob_only(
    bucket: BlobStore, uploads: Uploads
) -> None:
    uri = bucket.uri("ours")
    upload = await uploads.begin(uri)
    link = await uploads.sign_part(uri, upload.id, 1, _MINUTE)

    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        elsewhere = await http.put(link.replace("/ours?", "/theirs?"), content=b"x")
        read = await http.get(link)

    assert (elsewhere.status_code, read.status_code) == (403, 403)
