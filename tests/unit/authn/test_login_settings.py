"""Settings of logins: a sealing key is needed, by value or file, and never shown."""

import base64
from pathlib import Path

import pytest

from controlplane.authn.login_settings import AuthMode, LoginSettings
from shared.kit.secrets import SecretBytes
from shared.kit.settings import SettingsError, read

KEY = base64.b64encode(b"k" * 32).decode()
VALUE = SecretBytes(b"value")


def test_logins_are_off_by_default() -> None:
    assert read(LoginSettings, {}).mode is AuthMode.ANONYMOUS


def test_logins_need_a_sealing_key() -> None:
    with pytest.raises(SettingsError, match="set VOLARY_SEALING_KEY or VOLARY_SEALING_KEY_FILE"):
        read(LoginSettings, {"VOLARY_AUTH": "oidc"})


def test_sealing_key_is_read_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    by_value = read(LoginSettings, {"VOLARY_AUTH": "oidc", "VOLARY_SEALING_KEY": KEY})
    by_file = read(LoginSettings, {"VOLARY_AUTH": "oidc", "VOLARY_SEALING_KEY_FILE": str(file)})
    sealed = by_value.make_sealer().seal(VALUE, "test")
    assert by_file.make_sealer().open(sealed, "test") == VALUE
    assert KEY not in repr(by_value)
    assert "kkkk" not in repr(by_value)


def test_wrong_sealing_key_is_named_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="VOLARY_SEALING_KEY") as refused:
        read(LoginSettings, {"VOLARY_AUTH": "oidc", "VOLARY_SEALING_KEY": "not-a-key"})
    assert "not-a-key" not in str(refused.value)


@pytest.mark.parametrize("content", [None, "", "not-a-key"])
def test_file_without_a_sealing_key_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    settings = LoginSettings(mode=AuthMode.OIDC, key_file=file)
    with pytest.raises(ValueError, match="VOLARY_SEALING_KEY_FILE"):
        settings.make_sealer()
