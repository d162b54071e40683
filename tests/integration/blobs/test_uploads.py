"""Uploads in parts, signed here and sent by others, on a real S3 server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.keys import AccessKeys
from shared.blobs.options import S3Options
from shared.blobs.store import BlobStore, open_store
from shared.blobs.uploads import Uploads
from shared.kit.clock import SystemClock
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
    return Uploads(store, AccessKeys(s3_server.options, now), now)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("name", _NAMES)
async def test_parts_become_one_blob(
    store: BlobStore, uploads: Uploads, http: httpx.AsyncClient, name: str
) -> None:
    uri = store.uri(f"directory/{name}")
    upload = await uploads.begin(uri)
    etags = []
    for number, body in enumerate([_PART, b"the end"], start=1):
        link = await uploads.sign_part(uri, upload, number, _MINUTE)
        sent = await http.put(link, content=body)
        assert sent.status_code == 200, sent.text
        etags.append(sent.headers["etag"])

    await uploads.complete(uri, upload, etags)
    await uploads.complete(uri, upload, etags)  # whoever heard no answer says it again

    assert await store.read(uri, limit=2**23) == _PART + b"the end"


async def test_an_abandoned_upload_takes_no_more_parts(
    store: BlobStore, uploads: Uploads, http: httpx.AsyncClient
) -> None:
    uri = store.uri("given-up")
    upload = await uploads.begin(uri)
    await uploads.abandon(uri, upload)
    await uploads.abandon(uri, upload)

    link = await uploads.sign_part(uri, upload, 1, _MINUTE)
    assert (await http.put(link, content=b"late")).status_code == 404
    with pytest.raises(BlobNotFoundError):
        await uploads.complete(uri, upload, ['"0"'])
    assert not await store.exists(uri)


async def test_a_link_is_good_for_its_part_and_no_other(
    store: BlobStore, uploads: Uploads, http: httpx.AsyncClient
) -> None:
    uri = store.uri("bound")
    upload = await uploads.begin(uri)
    link = await uploads.sign_part(uri, upload, 1, _MINUTE)

    assert (await http.put(link.replace("partNumber=1", "partNumber=2"))).status_code == 403
    assert (await http.put(link.replace("bound", "other"))).status_code == 403
    await uploads.abandon(uri, upload)


async def test_a_link_expires(
    store: BlobStore, s3_server: S3ForTests, http: httpx.AsyncClient
) -> None:
    def earlier() -> datetime:
        return datetime.now(UTC) - timedelta(hours=2)  # noqa: TID251 -- what a clock would say

    late = Uploads(store, AccessKeys(s3_server.options, earlier), earlier)
    link = await late.sign_part(store.uri("late"), "an-upload", 1, _MINUTE)

    assert (await http.put(link, content=b"late")).status_code == 403


async def test_a_wrong_key_is_the_stores_to_refuse(store: BlobStore) -> None:
    now = SystemClock().now
    wrong = S3Options(access_key="nobody", secret_key="nothing")  # noqa: S106
    with pytest.raises(BlobStoreError, match="could not begin an upload"):
        await Uploads(store, AccessKeys(wrong, now), now).begin(store.uri("any"))


async def test_a_directory_begins_no_uploads(tmp_path: object) -> None:
    directory = open_store(f"file://{tmp_path}/blobs")
    now = SystemClock().now
    key = S3Options(access_key="any", secret_key="any")  # noqa: S106
    with pytest.raises(BlobStoreError, match="signs links"):
        await Uploads(directory, AccessKeys(key, now), now).begin(directory.uri("any"))


@pytest.mark.parametrize("kind", ["bucket", "directory"])
async def test_blobs_are_listed_in_order_and_page_by_page(
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
