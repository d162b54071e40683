"""Contract of the blob store, for directories and S3."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.blobs.errors import (
    BlobExistsError,
    BlobNotFoundError,
    BlobOutsideError,
    BlobRangeError,
    BlobStoreError,
    BlobTooLargeError,
)
from shared.blobs.store import CHUNK_BYTES, BlobStore

MIB = 1024 * 1024


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_store_reads_what_was_written(store: BlobStore) -> None:
    uri = store.uri("org/run/inputs.pb")
    await store.write(uri, b"forty-two")

    assert await store.read(uri, limit=9) == b"forty-two"
    assert await store.exists(uri)


async def test_what_is_not_there_is_not_found(store: BlobStore) -> None:
    uri = store.uri("org/nothing")

    assert not await store.exists(uri)
    assert await store.head(uri) is None
    with pytest.raises(BlobNotFoundError, match="org/nothing"):
        await store.read(uri, limit=10)
    with pytest.raises(BlobNotFoundError):
        await store.stream(uri)


async def test_store_read_rejects_blob_over_the_limit(store: BlobStore) -> None:
    uri = store.uri("large")
    await store.write(uri, b"x" * 11)

    with pytest.raises(BlobTooLargeError, match="11 bytes; the limit is 10") as refusal:
        await store.read(uri, limit=10)

    assert refusal.value.size == 11


async def test_store_keeps_empty_blobs(store: BlobStore) -> None:
    uri = store.uri("empty")
    await store.write(uri, b"")

    assert await store.read(uri, limit=0) == b""
    assert [chunk async for chunk in await store.stream(uri)] == []


async def test_store_etag_changes_with_the_content(store: BlobStore) -> None:
    uri = store.uri("report.html")
    await store.write(uri, b"first")
    first = await store.head(uri)
    await store.write(uri, b"second!")
    second = await store.head(uri)

    assert first is not None
    assert second is not None
    assert (first.size, second.size) == (5, 7)
    assert first.etag != second.etag
    assert first.etag.startswith('"')


async def test_store_range_read_returns_exactly_the_range(store: BlobStore) -> None:
    uri = store.uri("digits")
    await store.write(uri, b"0123456789")

    middle = await store.stream(uri, start=3, end=6)
    assert (middle.start, middle.end, middle.info.size) == (3, 6, 10)
    assert b"".join([chunk async for chunk in middle]) == b"345"
    to_the_end = await store.stream(uri, start=8)
    assert b"".join([chunk async for chunk in to_the_end]) == b"89"
    past_the_end = await store.stream(uri, start=8, end=99)
    assert past_the_end.end == 10


async def test_store_range_past_the_end_is_rejected(store: BlobStore) -> None:
    uri = store.uri("digits")
    await store.write(uri, b"0123456789")

    with pytest.raises(BlobRangeError):
        await store.stream(uri, start=10, end=12)


async def test_store_stream_of_large_blob_is_chunked(store: BlobStore) -> None:
    uri = store.uri("large")
    sent = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(30):
            piece = bytes([number]) * MIB
            sent.update(piece)
            yield piece

    await store.write_stream(uri, pieces())

    received = hashlib.sha256()
    async for chunk in await store.stream(uri):
        assert len(chunk) <= 2 * CHUNK_BYTES
        received.update(chunk)
    assert received.digest() == sent.digest()


@pytest.mark.parametrize("failure", [ValueError("no"), TimeoutError("late"), EOFError("gone")])
async def test_store_failed_stream_keeps_the_previous_blob(
    store: BlobStore, failure: Exception
) -> None:
    uri = store.uri("result")
    await store.write(uri, b"as it was")

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 20 * MIB
        raise failure

    with pytest.raises(type(failure)) as raised:
        await store.write_stream(uri, broken())

    assert raised.value is failure
    assert await store.read(uri, limit=100) == b"as it was"


async def test_store_cancelled_upload_leaves_nothing(store: BlobStore) -> None:
    uri = store.uri("never")
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 20 * MIB
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        yield b""

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        upload = tasks.create_task(store.write_stream(uri, endless()))
        await begun.wait()
        upload.cancel()

    assert ended.is_set()
    assert not await store.exists(uri)


async def test_store_concurrent_writes_are_atomic(store: BlobStore) -> None:
    uri = store.uri("contested")
    ours, theirs = b"a" * 9 * MIB, b"b" * 9 * MIB

    results = await asyncio.gather(
        store.write(uri, ours), store.write_stream(uri, chunks(theirs)), return_exceptions=True
    )

    failed = [each for each in results if each is not None]
    if store.base.startswith("abfs://") and failed:  # the store drops the blocks of the other
        [error] = failed
        assert isinstance(error, BlobStoreError)
        assert "another write of the same blob ended" in str(error)
    else:
        assert not failed
    assert await store.read(uri, limit=10 * MIB) in {ours, theirs}


async def test_store_write_without_replace_keeps_existing_blob(store: BlobStore) -> None:
    uri = store.uri("once")
    await store.write_stream(uri, chunks(b"first"), replace=False)

    with pytest.raises(BlobExistsError, match="once already exists"):
        await store.write_stream(uri, chunks(b"second"), replace=False)

    assert await store.read(uri, limit=10) == b"first"


async def test_store_concurrent_writes_without_replace_fail_for_one(store: BlobStore) -> None:
    uri = store.uri("once")

    async def written(body: bytes) -> bool:
        try:
            await store.write_stream(uri, chunks(body), replace=False)
        except BlobExistsError:
            return False
        return True

    bodies = [bytes([number]) * MIB for number in range(4)]
    async with asyncio.TaskGroup() as tasks:
        tries = [tasks.create_task(written(body)) for body in bodies]

    [winner] = [body for body, one in zip(bodies, tries, strict=True) if one.result()]
    assert await store.read(uri, limit=MIB) == winner


@pytest.mark.parametrize(
    "name",
    ["a b", "a%20b", "a%2Fb", "é 漢", "a+b", "a&b=c?d", "a#b", "~a*b", "back\\slash", ".hidden"],
)
async def test_store_takes_names_literally(store: BlobStore, name: str) -> None:
    uri = store.uri(f"odd/{name}")
    await store.write(uri, name.encode())

    assert uri == f"{store.base}/odd/{name}"
    assert await store.read(uri, limit=100) == name.encode()


@pytest.mark.parametrize(
    "path",
    [
        *("", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b"),
        *("a\nb", "a\0b", "a\x7fb", "a#1", "x" * 256, "/".join(["x" * 200] * 5)),
    ],
)
async def test_store_rejects_traversal_and_empty_names(store: BlobStore, path: str) -> None:
    uri = f"{store.base}/{path}"

    with pytest.raises(BlobOutsideError):
        store.uri(path)
    with pytest.raises(BlobOutsideError):
        await store.write(uri, b"")
    with pytest.raises(BlobOutsideError):
        await store.read(uri, limit=1)
    with pytest.raises(BlobOutsideError):
        await store.head(uri)
    with pytest.raises(BlobOutsideError):
        await store.sign_get(uri, timedelta(minutes=1))
    with pytest.raises(BlobOutsideError):
        await store.sign_put(uri, timedelta(minutes=1))


async def test_store_rejects_uri_outside_its_base(store: BlobStore) -> None:
    for uri in (
        f"{store.base}-of-somebody-else/a",
        store.base,
        "file:///etc/passwd",
        "s3://another-bucket/base/a",
        "/etc/passwd",
        "",
    ):
        with pytest.raises(BlobOutsideError, match="is not below"):
            await store.read(uri, limit=1)
