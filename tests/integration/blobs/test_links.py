"""Signed links allow exactly the signed request and reject others with a reason."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.blobs.conftest import Served

BODY = b"forty-two"
MD5 = hashlib.md5(BODY, usedforsecurity=False).digest()
MD5_TEXT = b64encode(MD5).decode()
MIB = 1024 * 1024


async def test_link_put_then_get(served: Served) -> None:
    link = served.put_link("org/a b/é#1%20.txt", length=len(BODY), md5=MD5)

    answer = await served.http.put(link, content=BODY, headers={"Content-MD5": MD5_TEXT})
    assert answer.status_code == 200
    assert answer.headers["etag"].startswith('"')

    answer = await served.http.get(served.get_link("org/a b/é#1%20.txt"))
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-length"] == "9"
    assert served.files() == ["org/a b/é#1%20.txt"]


async def test_link_head_has_no_body(served: Served) -> None:
    await served.store.write(served.store.uri("a.txt"), BODY)

    answer = await served.http.head(served.get_link("a.txt"))

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "9"
    assert answer.headers["accept-ranges"] == "bytes"


async def test_link_to_missing_blob_is_404(served: Served) -> None:
    for ask in (served.http.get, served.http.head):
        answer = await ask(served.get_link("gone"))
        assert answer.status_code == 404
    assert "gone does not exist" in (await served.http.get(served.get_link("gone"))).text


async def test_link_expired_states_the_expiry_time(served: Served) -> None:
    link = served.put_link("a", md5=MD5)
    served.clock.advance(timedelta(minutes=5))

    answer = await served.http.put(link, content=BODY)

    assert answer.status_code == 403
    assert "expired at 2026-01-01T00:05:00+00:00; ask for a new one" in answer.text
    assert served.files() == []


async def test_link_is_valid_for_one_path_and_method(served: Served) -> None:
    await served.store.write(served.store.uri("secret"), b"theirs")
    link = served.get_link("ours")

    elsewhere = await served.http.get(link.replace("/ours", "/secret"))
    written = await served.http.put(served.get_link("secret"), content=BODY)
    claimed = await served.http.put(
        served.get_link("secret").replace("method=GET", "method=PUT"), content=BODY
    )
    read = await served.http.get(served.put_link("secret"))

    assert [answer.status_code for answer in (elsewhere, written, claimed, read)] == [403] * 4
    assert "altered" in elsewhere.text
    assert "this link is for GET, not PUT" in written.text
    assert await served.store.read(served.store.uri("secret"), limit=9) == b"theirs"


async def test_link_terms_cannot_be_altered(served: Served) -> None:
    exact = served.put_link("a", length=9, md5=MD5)
    query = urlsplit(exact).query

    for loose in (
        exact.replace("length=9", "length=90"),
        exact.replace("&length=9", ""),
        exact.replace(query[query.index("md5=") : query.index("&signature")], "md5="),
        exact.split("?", maxsplit=1)[0],
    ):
        answer = await served.http.put(loose, content=BODY)
        assert answer.status_code == 403
    assert served.files() == []


@pytest.mark.parametrize(
    "path",
    [
        "/blobs/../../etc/passwd",
        "/blobs/%2e%2e/%2e%2e/etc/passwd",
        "/blobs/..%2f..%2fetc%2fpasswd",
        "/blobs//etc/passwd",
        "/blobs/%2Fetc%2Fpasswd",
        "/blobs/a%00b",
    ],
)
async def test_link_without_signature_rejects_traversal(served: Served, path: str) -> None:
    query = urlsplit(served.get_link("a")).query
    raw = await _raw(served, f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert raw.split(b" ", 2)[1] in {b"403", b"404"}
    assert b"root:" not in raw


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/passwd", "a//b"])
async def test_link_with_signature_rejects_traversal(served: Served, path: str) -> None:
    (served.root.parent / "outside").write_text("not ours")
    link = urlsplit(served.get_link(path))
    raw = await _raw(
        served,
        f"GET {link.path}?{link.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )

    assert raw.split(b" ", 2)[1] == b"400"
    assert b"not ours" not in raw


async def test_link_does_not_follow_symlinks(served: Served, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("not ours")
    (served.root / "way").symlink_to(tmp_path / "outside")
    (served.root / "file").symlink_to(tmp_path / "outside/file")

    for path in ("way/file", "file"):
        read = await served.http.get(served.get_link(path))
        written = await served.http.put(served.put_link(path), content=BODY)
        assert (read.status_code, written.status_code) == (400, 400)
        assert "symbolic link" in read.text
    assert (tmp_path / "outside/file").read_text() == "not ours"


async def test_upload_with_wrong_md5_is_rejected(served: Served) -> None:
    link = served.put_link("a", md5=MD5)
    other = b64encode(hashlib.md5(b"x", usedforsecurity=False).digest()).decode()

    says_other = await served.http.put(link, content=BODY, headers={"Content-MD5": other})
    is_other = await served.http.put(link, content=b"x", headers={"Content-MD5": MD5_TEXT})
    silent = await served.http.put(link, content=b"x")
    unsigned = await served.http.put(
        served.put_link("a"), content=b"x", headers={"Content-MD5": MD5_TEXT}
    )

    for answer in (says_other, is_other, silent, unsigned):
        assert answer.status_code == 400
        assert other in answer.text
        assert MD5_TEXT in answer.text
    assert served.files() == []


@pytest.mark.parametrize("text", ["", "no base64!", "YWJj"])
async def test_upload_with_invalid_content_md5_is_rejected(served: Served, text: str) -> None:
    answer = await served.http.put(
        served.put_link("a"), content=BODY, headers={"Content-MD5": text}
    )

    assert answer.status_code == 400
    assert "Content-MD5" in answer.text


async def test_upload_must_have_the_signed_length(served: Served) -> None:
    exact = served.put_link("a", length=9)
    at_most = served.put_link("b", max_length=9)

    for link, body, status in (
        (exact, BODY, 200),
        (exact, BODY + b"!", 413),
        (exact, BODY[:-1], 413),
        (at_most, BODY, 200),
        (at_most, b"", 200),
        (at_most, BODY + b"!", 413),
    ):
        answer = await served.http.put(link, content=body)
        assert answer.status_code == status, answer.text


async def test_upload_without_content_length_is_rejected(served: Served) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield BODY

    answer = await served.http.put(served.put_link("a"), content=body())

    assert answer.status_code == 411
    assert "Content-Length" in answer.text


async def test_upload_interrupted_leaves_nothing(served: Served) -> None:
    path = urlsplit(served.put_link("a", length=100))
    reader, writer = await _connect(served)
    writer.write(
        f"PUT {path.path}?{path.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    )
    writer.write(b"half")
    await writer.drain()
    await served.files_change(begun=True)  # the draft is there: the body is being taken
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""

    await served.files_change(begun=False)
    assert not await served.store.exists(served.store.uri("a"))


async def test_upload_if_none_match_keeps_existing_blob(served: Served) -> None:
    once = {"If-None-Match": "*"}
    link = served.put_link("a", md5=MD5)
    other = served.put_link("a", md5=hashlib.md5(b"x", usedforsecurity=False).digest())

    assert (await served.http.put(link, content=BODY, headers=once)).status_code == 200
    assert (await served.http.put(link, content=BODY, headers=once)).status_code == 200
    refused = await served.http.put(other, content=b"x", headers=once)

    assert refused.status_code == 412
    assert "a exists already with other content" in refused.text
    assert served.files() == ["a"]
    assert await served.store.read(served.store.uri("a"), limit=9) == BODY


async def test_upload_concurrently_is_atomic(served: Served) -> None:
    link = served.put_link("a")
    bodies = [bytes([number]) * 3 * MIB for number in range(4)]

    async with asyncio.TaskGroup() as tasks:
        puts = [tasks.create_task(served.http.put(link, content=body)) for body in bodies]

    assert {put.result().status_code for put in puts} == {200}
    assert await served.store.read(served.store.uri("a"), limit=4 * MIB) in bodies
    assert served.files() == ["a"]


async def _connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = served.http.base_url
    return await asyncio.open_connection(url.host, url.port)


async def _raw(served: Served, request: str) -> bytes:
    """Send what no client library would send as it is."""
    reader, writer = await _connect(served)
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
