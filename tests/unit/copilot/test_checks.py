"""We test what a store's headers are taken to mean."""

import errno
from contextlib import nullcontext
from pathlib import Path

import pytest

from dataplane.copilot import checks, checksums
from dataplane.copilot.errors import InvalidDataError, TransferRefusedError, TransientError

MD5 = "5d41402abc4b2a76b9719d911017c592"


class FakeAnswer:
    """An answer's status and headers."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status = status
        self._headers = {name.replace("_", "-").lower(): text for name, text in headers.items()}

    def header(self, name: str) -> str:
        return self._headers.get(name.lower(), "")


@pytest.mark.parametrize(
    ("output", "known"),
    [
        (FakeAnswer(ETag=f'"{MD5}"'), True),
        (FakeAnswer(Content_MD5="XUFAKrxLKna5cZ2REBfFkg=="), True),
        (FakeAnswer(x_ms_blob_content_md5="XUFAKrxLKna5cZ2REBfFkg=="), True),
        (FakeAnswer(ETag=f'"{MD5}"', x_amz_server_side_encryption="AES256"), True),
        (FakeAnswer(ETag=f'"{MD5}"', x_amz_server_side_encryption="aws:kms"), False),
        (
            FakeAnswer(ETag=f'"{MD5}"', x_amz_server_side_encryption_customer_algorithm="AES256"),
            False,
        ),
        (FakeAnswer(ETag=f'"{MD5}-7"'), False),
        (FakeAnswer(ETag='"0x8DC1234"'), False),
        (FakeAnswer(Content_MD5="no base64"), False),
        (FakeAnswer(), False),
    ],
)
def test_md5_is_known_only_from_headers_that_contain_one(output: FakeAnswer, known: bool) -> None:  # noqa: FBT001
    assert checks.known_md5(output) == (bytes.fromhex(MD5) if known else None)


@pytest.mark.parametrize(
    ("output", "good"),
    [
        (FakeAnswer(x_amz_checksum_crc32="NhCmhg=="), True),
        (FakeAnswer(x_amz_checksum_crc32="NhCmhg==", ETag='"other"'), True),
        (FakeAnswer(x_amz_checksum_crc32="AAAAAA==", ETag=f'"{MD5}"'), False),
        (FakeAnswer(ETag=f'"{MD5}"'), True),
        (FakeAnswer(ETag=f'"{"0" * 32}"'), False),
        (FakeAnswer(ETag='"0x8DC1234"'), False),
        (FakeAnswer(), False),
    ],
)
def test_crc32_has_to_be_confirmed_by_the_store(output: FakeAnswer, good: bool) -> None:  # noqa: FBT001
    with nullcontext() if good else pytest.raises(TransientError, match="corrupted in transit"):
        checks.require_crc32(
            output, checksums.crc32([b"hel", b"lo"]), lambda: checksums.md5([b"hello"]), "x"
        )


def test_content_range_gives_the_blobs_version() -> None:
    output = FakeAnswer(206, Content_Range="bytes 10-19/100", ETag='"e"')
    assert checks.read_version(output, 10, "s3://b/x") == checks.Version(100, '"e"')


@pytest.mark.parametrize("output", ["bytes 0-9/100", "bytes 10-19/*", "", "lines 10-19/100"])
def test_unexpected_content_range_is_refused(output: str) -> None:
    with pytest.raises(TransferRefusedError, match="s3://b/x"):
        checks.read_version(FakeAnswer(206, Content_Range=output), 10, "s3://b/x")


def test_whole_blob_in_place_of_a_part_is_refused() -> None:
    with pytest.raises(TransferRefusedError, match="where a part was requested"):
        checks.read_version(FakeAnswer(200, Content_Length="100"), 10, "s3://b/x")


def test_full_volume_is_a_user_error() -> None:
    with (
        pytest.raises(InvalidDataError, match="request more ephemeral storage") as expected,
        checks.writing(Path("/var/inputs/x")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert expected.value.failure().recoverable


def test_file_that_grows_during_upload_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("longer now")
    with (
        pytest.raises(InvalidDataError, match="changed while it was being uploaded"),
        checks.opened(path, 3),
    ):
        pass


def test_symbolic_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/passwd")
    with pytest.raises(InvalidDataError, match="cannot read"), checks.opened(tmp_path / "x", 3):
        pass
