"""Settings of logins: whether there are any, and the keys that seal what they keep."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from controlplane.authn.sealing import Sealer, parse_sealing_keys
from shared.kit.secrets import SecretBytes
from shared.kit.settings import Kind, kinds, setting, settings
from shared.kit.settings.paths import path


class AuthMode(StrEnum):
    """Ways to authenticate callers."""

    ANONYMOUS = "anonymous"  # every caller from this machine is the same
    OIDC = "oidc"  # people log in at identity providers, programs with API keys


_SEALING_KEYS: Kind[Sequence[SecretBytes]] = Kind(
    accepts="32 random bytes in base64 (`openssl rand -base64 32`), or several, separated by"
    " commas",
    parse=parse_sealing_keys,
    metavar="KEYS",
    is_secret=True,
)


@settings("Logins")
class LoginSettings:
    """ValueError if there are logins and no sealing key."""

    mode: AuthMode = setting(
        "VOLARY_AUTH",
        kinds.one_of(AuthMode),
        "With `anonymous` every caller from this machine is the same one and may do anything.",
        default=AuthMode.ANONYMOUS,
    )
    keys: Sequence[SecretBytes] = setting(
        "VOLARY_SEALING_KEY",
        _SEALING_KEYS,
        "Seals private keys in the database, such as those that sign access tokens. The first"
        " seals, all of them open. The same on every replica; needed with `VOLARY_AUTH=oidc`.",
        default=(),
    )
    key_file: Path | None = setting(
        "VOLARY_SEALING_KEY_FILE",
        path(),
        "File with the value of `VOLARY_SEALING_KEY`, read once at the start.",
        default=None,
    )

    self_service_orgs: bool = setting(
        "VOLARY_SELF_SERVICE_ORGS",
        kinds.boolean(),
        "Every person who logs in may create an org. Otherwise the operator does, with"
        " `volary owner-link`.",
        default=True,
    )

    def __post_init__(self) -> None:
        if self.mode is AuthMode.OIDC and not self.keys and self.key_file is None:
            raise ValueError(
                "logins need a sealing key; set VOLARY_SEALING_KEY or VOLARY_SEALING_KEY_FILE"
            )

    def make_sealer(self) -> Sealer:
        """Return the sealer; ValueError, with the file's name, if the file has no keys."""
        if self.keys:
            return Sealer(self.keys)
        if self.key_file is None:
            raise ValueError("there is no sealing key")
        try:
            return Sealer(parse_sealing_keys(self.key_file.read_text().strip()))
        except OSError as error:
            raise ValueError(f"VOLARY_SEALING_KEY_FILE: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"VOLARY_SEALING_KEY_FILE {error}") from error
