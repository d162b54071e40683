"""Certificates in files: read again when they change, and kept when the new ones are unusable."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shared.kit.certificate_files import MAX_FILE_BYTES, CertificateFiles
from shared.kit.certificates import CertificateError, KeyPair
from shared.kit.clock import SystemClock
from tests.running import running, until
from tests.servers.tls import TlsFiles, make_files


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return make_files(tmp_path / "tls")


def read(files: TlsFiles) -> CertificateFiles:
    return CertificateFiles(files.certificate, files.key, SystemClock())


async def test_certificate_is_reloaded_when_a_mounted_secret_is_replaced(files: TlsFiles) -> None:
    certificates = read(files)
    found: list[KeyPair] = []
    certificates.listen(found.append)
    async with running(certificates):
        # The watch may begin after the first replacement, so each look makes another one.
        await until(
            lambda: bool(files.put(files.make())) and len(found) > 1, "the new pair is used"
        )
        await until(lambda: found[-1].certificate == files.certificate.read_bytes(), "the last one")
    assert certificates.pair == found[-1]
    assert certificates.failed_reloads == 0


def unusable_pairs() -> dict[str, tuple[Callable[[TlsFiles], KeyPair], str]]:
    return {
        "expired": (lambda files: files.make(lasts=-timedelta(minutes=1)), "expired at"),
        "key of another certificate": (
            lambda files: KeyPair(files.make().certificate, files.make().key),
            "the key is not that of",
        ),
        "no certificate": (lambda files: KeyPair(b"\0", files.make().key), "no PEM certificate"),
        "no key": (lambda files: KeyPair(files.make().certificate, b""), "no PEM private key"),
        "endless file": (
            lambda files: KeyPair(b"x" * (MAX_FILE_BYTES + 1), files.make().key),
            "is larger than",
        ),
    }


UNUSABLE = unusable_pairs()


@pytest.mark.parametrize(("make", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_certificate_is_refused_and_the_one_before_stays(
    files: TlsFiles,
    make: Callable[[TlsFiles], KeyPair],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    certificates = read(files)
    before = certificates.pair
    files.put(make(files))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not certificates.reload()
    assert (certificates.pair, certificates.failed_reloads) == (before, 1)
    assert [reason in vars(record)["error"] for record in caplog.records] == [True]
    with pytest.raises(CertificateError, match=reason):
        read(files)
    files.put(files.make())
    assert certificates.reload()
    assert certificates.pair != before


def test_missing_certificate_file_is_named(files: TlsFiles) -> None:
    certificates = read(files)
    files.key.unlink()
    assert not certificates.reload()
    with pytest.raises(CertificateError, match=r"tls\.key cannot be read"):
        read(files)


def test_certificate_key_is_not_in_the_repr(files: TlsFiles) -> None:
    certificates = read(files)
    assert "PRIVATE" not in repr(certificates) + repr(certificates.pair)
