"""Serving and receiving blobs: ranges, security headers, size limits, disk errors."""

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.blobs.conftest import Served

MIB = 1024 * 1024


@pytest.fixture
async def digits(served: Served) -> str:
    await served.store.write(served.store.uri("digits.txt"), b"0123456789")
    return served.get_link("digits.txt")


@pytest.mark.parametrize(
    ("asked", "part", "content_range"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
    ],
)
async def test_serving_a_range(
    served: Served, digits: str, asked: str, part: bytes, content_range: str
) -> None:
    answer = await served.http.get(digits, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"] == content_range
    assert answer.headers["content-length"] == str(len(part))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-12", "bytes=4-2", "bytes=-0"])
async def test_serving_a_range_past_the_end_is_416(served: Served, digits: str, asked: str) -> None:
    answer = await served.http.get(digits, headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("asked", ["bytes=", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b"])
async def test_serving_an_unsupported_range_returns_everything(
    served: Served, digits: str, asked: str
) -> None:
    answer = await served.http.get(digits, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (200, b"0123456789")


async def test_serving_if_none_match_returns_304(served: Served, digits: str) -> None:
    etag = (await served.http.get(digits)).headers["etag"]

    same = await served.http.get(digits, headers={"If-None-Match": etag})
    part = await served.http.get(digits, headers={"Range": "bytes=8-", "If-Range": etag})
    changed = await served.http.get(digits, headers={"Range": "bytes=8-", "If-Range": '"old"'})

    assert (same.status_code, same.content) == (304, b"")
    assert (part.status_code, part.content) == (206, b"89")
    assert (changed.status_code, changed.content) == (200, b"0123456789")


@pytest.mark.parametrize(
    ("name", "kind", "disposition"),
    [
        ("report.html", "text/html; charset=utf-8", "inline"),
        ("fast1.tar.gz", "application/gzip", "attachment"),
        ("outputs.pb", "application/octet-stream", "attachment"),
        ("plot.svg", "image/svg+xml", "inline"),
        ("über uns", "application/octet-stream", "attachment"),
    ],
)
async def test_serving_sandboxes_tenant_files(
    served: Served, name: str, kind: str, disposition: str
) -> None:
    await served.store.write(served.store.uri(name), b"<script>top.location='evil'</script>")

    answer = await served.http.get(served.get_link(name))

    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"].startswith(f"{disposition}; filename*=UTF-8''")
    assert (
        answer.headers["content-security-policy"] == "sandbox allow-scripts; frame-ancestors 'self'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "content-encoding" not in answer.headers


async def test_serving_a_large_blob_uses_little_memory(served: Served) -> None:
    size, before, most = 256 * MIB, _resident_bytes(), 0
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        nonlocal most
        for number in range(size // MIB):
            piece = bytes([number]) * MIB
            sent.update(piece)
            most = max(most, _resident_bytes())
            yield piece

    answer = await served.http.put(
        served.put_link("large", length=size), content=body(), headers={"Content-Length": str(size)}
    )
    assert answer.status_code == 200
    async with served.http.stream("GET", served.get_link("large")) as download:
        async for piece in download.aiter_raw():
            received.update(piece)
            most = max(most, _resident_bytes())

    assert received.digest() == sent.digest()
    assert most - before < size / 4


async def test_upload_that_stalls_times_out(impatient: Served) -> None:
    link = urlsplit(impatient.put_link("a", length=100))
    url = impatient.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"PUT {link.path}?{link.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode()
    )

    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert b" 408 " in answer
    assert impatient.files() == []


async def test_upload_to_full_disk_names_the_cause(served: Served) -> None:
    with _files_of_at_most(4 * MIB):
        answer = await served.http.put(served.put_link("a"), content=b"x" * 5 * MIB)

    assert answer.status_code == 503
    assert "could not write" in answer.text
    assert "File too large" in answer.text
    assert served.files() == []


async def test_upload_to_unwritable_directory_names_the_cause(served: Served) -> None:
    await served.store.write(served.store.uri("org/a"), b"as it was")

    with _as_one_who_may_not_write(served.root / "org"):
        answer = await served.http.put(served.put_link("org/a"), content=b"new")

    assert answer.status_code == 503
    assert "Permission denied" in answer.text
    assert "give this process access to that directory" in answer.text
    assert await served.store.read(served.store.uri("org/a"), limit=9) == b"as it was"


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Let no file grow past ``size``, which is as near to a full disk as one gets unasked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _as_one_who_may_not_write(directory: Path) -> Iterator[None]:
    directory.chmod(0o555)
    effective = os.geteuid()
    if effective == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        yield
    finally:
        os.seteuid(effective)
        directory.chmod(0o755)
