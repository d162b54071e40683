"""Data directory of `volary up`: locking, secrets and release check."""

import stat
from pathlib import Path

import pytest

from controlplane.embedded import data_directory
from controlplane.embedded.errors import UpError
from shared.secrets.keyrings import read_aes_keys


def test_data_directory_creates_a_secret_once(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path) as directory:
        first = directory.secret("key")
        assert len(first) >= 43
        assert directory.secret("key") == first
        assert directory.secret("another") != first
    with data_directory.opened(tmp_path) as directory:
        assert directory.secret("key") == first


def test_data_directory_secrets_are_readable_by_owner_only(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path / "new") as directory:
        directory.secret("key")
        assert directory.root.stat().st_mode & 0o777 == 0o700
        assert directory.secret_file("key").parent.stat().st_mode & 0o777 == 0o700
        assert directory.secret_file("key").stat().st_mode & 0o777 == 0o600


def test_data_directory_ignores_a_partial_secret_of_a_crash(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path) as directory:
        directory.secret_file(".key").write_text("hal")
        assert len(directory.secret("key")) >= 43


def test_data_directory_is_locked_by_one_process(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path), pytest.raises(UpError, match="in use by another"):
        data_directory.opened(tmp_path).__enter__()
    with data_directory.opened(tmp_path):
        pass


@pytest.mark.parametrize(
    ("theirs", "refused"), [("0.0.9", False), ("99.0.0", True), ("0.99.0", True), ("", False)]
)
def test_data_directory_of_a_newer_release_is_refused(
    tmp_path: Path, theirs: str, *, refused: bool
) -> None:
    (tmp_path / "release").write_text(theirs)
    if refused:
        with pytest.raises(UpError, match=f"last used by Volary {theirs}"):
            data_directory.opened(tmp_path).__enter__()
    else:
        with data_directory.opened(tmp_path):
            pass


def test_data_directory_expands_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with data_directory.opened(data_directory.DEFAULT) as directory:
        assert directory.root == tmp_path / ".volary"


def test_key_file_of_secrets_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    with data_directory.opened(tmp_path / "v") as directory:
        path = directory.secrets_key_file()
        keys = read_aes_keys(path)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_aes_keys(directory.secrets_key_file()) == keys
