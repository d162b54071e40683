"""Tests of gzip: bounds on the output, whole and damaged data."""

import gzip as standard
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from shared.kit import gzip

MEMBER = gzip.compress(b"text")


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(data=st.binary(max_size=2000), level=st.sampled_from([gzip.FASTEST, gzip.SMALLER]))
def test_compressed_data_decompresses_to_itself(data: bytes, level: int) -> None:
    packed = gzip.compress(data, level)

    assert gzip.decompress(packed, at_most=len(data)) == data
    assert standard.decompress(packed) == data
    assert packed == gzip.compress(data, level)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "truncated"),
        (b"text", "not gzip"),
        (MEMBER[:-1], "truncated"),
        (MEMBER[:-5] + b"xxxxx", "not gzip"),
        (MEMBER + b"x", "trailing bytes"),
        (MEMBER + MEMBER, "trailing bytes"),
    ],
    ids=["empty", "text", "cut", "checksum", "trailing", "two-members"],
)
def test_damaged_gzip_is_refused(data: bytes, error: str) -> None:
    with pytest.raises(gzip.GzipError, match=error):
        gzip.decompress(data, at_most=100)


def test_decompression_stops_at_its_bound() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)

    with pytest.raises(gzip.GzipTooLargeError, match="more than 1000 bytes"):
        gzip.decompress(bomb, at_most=1000)
    with pytest.raises(gzip.GzipTooLargeError):
        list(gzip.Decompressor(at_most=1000).feed(bomb))


@given(parts=st.lists(st.binary(max_size=500), max_size=10), size=st.integers(1, 300))
def test_stream_is_compressed_to_one_member(parts: list[bytes], size: int) -> None:
    packer = gzip.Compressor()
    packed = b"".join([*map(packer.feed, parts), packer.finish()])
    unpacking = gzip.Decompressor(at_most=5000)
    blocks = [block for piece in pieces(packed, size) for block in unpacking.feed(piece)]
    unpacking.close()

    assert b"".join(blocks) == b"".join(parts)
    assert gzip.decompress(packed, at_most=5000) == b"".join(parts)


def test_stream_of_several_members_is_decompressed_in_blocks() -> None:
    data = bytes(range(256)) * 2000
    unpacking = gzip.Decompressor(at_most=2 * len(data))
    blocks = list(unpacking.feed(gzip.compress(data) + standard.compress(data)))
    unpacking.close()

    assert b"".join(blocks) == data + data
    assert max(map(len, blocks)) <= gzip.BLOCK_BYTES


@pytest.mark.parametrize("data", [b"text", MEMBER[:-1], b""], ids=["text", "cut", "empty"])
def test_damaged_stream_is_refused(data: bytes) -> None:
    unpacking = gzip.Decompressor(at_most=100)

    def read_all() -> None:
        list(unpacking.feed(data))
        unpacking.close()

    with pytest.raises(gzip.GzipError):
        read_all()
