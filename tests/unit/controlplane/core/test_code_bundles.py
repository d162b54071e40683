"""Code bundles are listed and shown in memory, whatever tenants have put into them."""

import io
import tarfile
from collections.abc import Mapping

import pytest

from controlplane.core import code_bundles
from controlplane.core.code_bundles import BundledFile, list_files, read_text
from controlplane.core.errors import InvalidError
from shared.kit import gzip


def bundle(files: Mapping[str, bytes], *others: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return gzip.compress(packed.getvalue())


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def test_code_bundle_lists_its_files_by_path_without_links() -> None:
    packed = bundle({"./b.py": b"bb", "a/c.py": b"c"}, link("passwd", "/etc/passwd"))
    assert list_files(packed) == ([BundledFile("a/c.py", 1), BundledFile("b.py", 2)], False)


def test_code_bundle_shows_the_last_file_of_a_path() -> None:
    first, second = bundle({"a": b"1"}), bundle({"a": b"22"})
    whole = gzip.compress(
        gzip.decompress(first, at_most=10**6)[:1024] + gzip.decompress(second, at_most=10**6)
    )
    found = read_text(whole, "a")
    assert found is not None
    assert (found.file.size, found.text) == (2, "22")
    assert list_files(whole) == ([BundledFile("a", 2)], False)
    assert read_text(whole, "none") is None


def test_code_bundle_lists_a_bounded_number_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_bundles, "MAX_FILES", 2)
    packed = bundle({"c": b"", "b": b"", "a": b""})
    assert list_files(packed) == ([BundledFile("b", 0), BundledFile("c", 0)], True)


@pytest.mark.parametrize(
    ("content", "text", "is_truncated"),
    [
        (b"print()", "print()", False),
        (b"", "", False),
        (b"\0binary", None, False),
        (b"\xff\xfe", None, False),
        (b"0123456789", "01234567", True),
        ("0123456é".encode(), "0123456", True),
        (b"\xff123456789", None, True),
    ],
)
def test_code_of_a_file_is_shown_as_text_up_to_a_size(
    monkeypatch: pytest.MonkeyPatch, content: bytes, text: str | None, *, is_truncated: bool
) -> None:
    monkeypatch.setattr(code_bundles, "MAX_TEXT_BYTES", 8)
    found = read_text(bundle({"a.py": content}), "a.py")
    assert found is not None
    assert (found.text, found.is_truncated) == (text, is_truncated)


def test_code_bundle_that_expands_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_bundles, "MAX_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(InvalidError, match="download it"):
        list_files(bundle({"bomb": b"\0" * 2_000_000, "after": b""}))


@pytest.mark.parametrize(
    "packed", [b"nonsense", gzip.compress(b"no archive" * 100), bundle({"a": b"x" * 5000})[:60]]
)
def test_code_bundle_that_is_none_is_refused(packed: bytes) -> None:
    with pytest.raises(InvalidError, match="cannot be shown"):
        list_files(packed)
