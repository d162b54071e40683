"""Streaming decoder of shipped logs, and its limits."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from shared.formats.logs import DAMAGED, MAX_LINE_BYTES
from shared.formats.shipped_logs import MAX_UNPACKED_BYTES, DamagedLogError, Unpacking

texts = st.lists(st.text(max_size=300), max_size=60)


def pack(*messages: str) -> bytes:
    lines = [
        json.dumps({"t": number, "m": message, "o": 1}) for number, message in enumerate(messages)
    ]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode())


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def unpack(body: bytes, *, size: int = 1000, after_line: int = 0) -> list[str]:
    unpacking = Unpacking(after_line)
    pages = [page for chunk in chunks(body, size) for page in unpacking.feed(chunk)]
    return [line.text for page in [*pages, unpacking.close()] for line in page]


@given(messages=texts, size=st.integers(1, 700), after_line=st.integers(0, 70))
def test_shipped_log_decodes_to_the_same_lines_for_any_chunk_size(
    messages: list[str], size: int, after_line: int
) -> None:
    assert unpack(pack(*messages), size=size, after_line=after_line) == messages[after_line:]


def test_shipped_log_of_several_gzip_members_is_one_log() -> None:
    assert unpack(pack("one") + pack("two"), size=7) == ["one", "two"]


def test_shipped_log_keeps_a_last_line_without_newline() -> None:
    line = json.dumps({"t": 1, "m": "cut", "o": 2})
    assert unpack(gzip.compress(line.encode())) == ["cut"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain text",
        pack("a", "b")[:-9],
    ],
    ids=["empty", "plain", "cut"],
)
def test_shipped_log_that_is_not_gzip_is_damaged(body: bytes) -> None:
    with pytest.raises(DamagedLogError):
        unpack(body)


@pytest.mark.parametrize("size", [7, 10**6], ids=["pieces", "whole"])
@pytest.mark.parametrize(
    "damage",
    [b"garbage", b"\0" * 500, b"\xff\xfe", b'{"t":1,"m":"cu', b"x\n" * 30],
    ids=["words", "nuls", "bytes", "cut", "lines"],
)
def test_shipped_log_with_damaged_line_shows_the_others(damage: bytes, size: int) -> None:
    first, last = gzip.decompress(pack("one")), gzip.decompress(pack("two"))
    body = gzip.compress(first + damage + b"\n" + last)
    assert unpack(body, size=size) == ["one", DAMAGED, "two"]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["inside", "at-its-end"])
def test_shipped_log_with_overlong_line_shows_the_others_in_bounded_memory(end: bytes) -> None:
    first, last = gzip.decompress(pack("one")), gzip.decompress(pack("two")) if end else b""
    body = gzip.compress(first + b"0" * (20 * MAX_LINE_BYTES) + end + last)
    unpacking = Unpacking(0)
    tracemalloc.start()
    pages = [*unpacking.feed(body), unpacking.close()]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    texts = [line.text for page in pages for line in page]
    assert texts == (["one", DAMAGED, "two"] if end else ["one", DAMAGED])
    assert peak < 4 * MAX_LINE_BYTES


def test_shipped_log_counts_damaged_lines() -> None:
    body = gzip.compress(gzip.decompress(pack("one")) + b"x\ny\n" + gzip.decompress(pack("two")))
    assert unpack(body, after_line=3) == ["two"]


def test_shipped_log_zip_bomb_is_refused_in_bounded_memory() -> None:
    """A megabyte that decompresses to more than half a gibibyte of blank lines."""
    part = gzip.compress((b" " * 1000 + b"\n") * 16_000)
    bomb = part * (MAX_UNPACKED_BYTES // 16_016_000 + 1)
    unpacking = Unpacking(after_line=1_000_000)
    tracemalloc.start()
    with pytest.raises(DamagedLogError, match=str(MAX_UNPACKED_BYTES)):
        for _ in unpacking.feed(bomb):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024**2
