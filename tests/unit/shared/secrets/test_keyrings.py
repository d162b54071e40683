import stat
from pathlib import Path

import pytest

from shared.secrets.key_pairs import is_public_key, make_private_key, open_private_keys
from shared.secrets.keyrings import KeyFileError, make_aes_key, read_aes_keys


def test_key_file_lists_the_sealing_key_first(tmp_path: Path) -> None:
    first, second = make_aes_key(), make_aes_key()
    path = tmp_path / "keys"
    path.write_text(f"# the key of 2026\n{first}\n\n{second}\n")

    keys = read_aes_keys(path)

    assert len({key.name for key in keys}) == 2
    path.write_text(first)
    assert read_aes_keys(path) == keys[:1]


@pytest.mark.parametrize("content", ["", "# nothing", "short", "é", "QUJD\n"])
def test_key_file_without_a_valid_key_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)

    with pytest.raises(KeyFileError, match=str(path)) as refused:
        read_aes_keys(path)

    assert "openssl" in str(refused.value) or "permissions" in str(refused.value)


def test_key_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        read_aes_keys(tmp_path / "none")


def test_key_name_tells_keys_apart_and_hides_them(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(made := make_aes_key())

    (key,) = read_aes_keys(path)

    assert made not in repr(key)
    assert made not in key.name


def test_private_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"

    made = open_private_keys(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_private_keys(path) == made
    assert is_public_key(made[0].public.der)


def test_private_keys_are_read_in_their_order(tmp_path: Path) -> None:
    new, old = make_private_key(), make_private_key()
    path = tmp_path / "key.pem"
    path.write_bytes(new.pem.reveal() + old.pem.reveal())

    assert [key.name for key in open_private_keys(path)] == [new.name, old.name]


def test_file_without_a_private_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("not a key")

    with pytest.raises(KeyFileError, match=str(path)):
        open_private_keys(path)


@pytest.mark.parametrize("der", [b"", b"x" * 91, b"x" * 10_000])
def test_bytes_that_are_no_public_key_are_recognised(der: bytes) -> None:
    assert not is_public_key(der)
