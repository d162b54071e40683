"""Tests that a manifest survives its file, and that what is not a whole backup is refused."""

from datetime import UTC, datetime

import pytest

from controlplane.core.backups import (
    FORMAT,
    TRAILER_BYTES,
    BackupError,
    Manifest,
    parse_trailer,
    render_trailer,
    require_restorable,
    require_server,
)

MANIFEST = Manifest(
    format=FORMAT,
    volary="1.2.3",
    schema="0060",
    server=17,
    taken_at=datetime(2026, 6, 1, 12, tzinfo=UTC),
    archive_bytes=10,
    archive_sha256="00",
    rows={"runs": 3},
    buckets=["s3://b"],
    keyrings=["k1"],
    sealing_key=True,
)


def test_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{}", "cannot be read"),
        (b"[", "cannot be read"),
        (b'{"format": 99}', "has format 99, and this release reads format 1"),
    ],
)
def test_manifest_of_another_format_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(BackupError, match=words):
        Manifest.from_json(text)


def test_trailer_gives_the_sizes_of_the_parts() -> None:
    trailer = render_trailer(archive_bytes=10, manifest_bytes=5)
    assert parse_trailer(trailer, size=15 + TRAILER_BYTES) == (10, 5)


@pytest.mark.parametrize(
    ("trailer", "size"),
    [
        (b"", 0),
        (b"x" * TRAILER_BYTES, 100),
        (render_trailer(archive_bytes=10, manifest_bytes=5), 14 + TRAILER_BYTES),
    ],
)
def test_file_without_its_end_is_refused(trailer: bytes, size: int) -> None:
    with pytest.raises(BackupError, match="no whole backup"):
        parse_trailer(trailer, size=size)


def test_backup_is_restored_by_its_own_schema_only() -> None:
    require_restorable(MANIFEST, schema="0060", volary="1.2.3")
    with pytest.raises(BackupError, match=r"restore it with Volary 1\.2\.3, then upgrade"):
        require_restorable(MANIFEST, schema="0061", volary="1.2.4")


def test_backup_is_restored_by_its_server_or_a_newer_one() -> None:
    require_server(MANIFEST, server=18)
    with pytest.raises(BackupError, match="use 17 or newer"):
        require_server(MANIFEST, server=16)
