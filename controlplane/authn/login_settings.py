"""Settings of logins: whether there are any, and the keys that seal what they keep."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from controlplane.authn.sealing import Sealer, parse_sealing_keys
from controlplane.core.errors import InvalidError
from controlplane.core.identity_providers import (
    INSTALLATION,
    Provider,
    ProviderSettings,
    parse_issuer,
)
from shared.kit.secrets import SecretBytes, SecretText
from shared.kit.settings import Kind, kinds, setting, settings
from shared.kit.settings.paths import path
from shared.model.ids import OrgName


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

    issuer: str | None = setting(
        "VOLARY_OIDC_ISSUER",
        kinds.http_url(),
        "Issuer of an identity provider for the people of every org; orgs can add their own. Its"
        " redirect address is `VOLARY_PUBLIC_URL` and `/login/callback`. The e-mail addresses that it"
        " calls verified are believed in every org.",
        default=None,
    )
    client_id: str = setting(
        "VOLARY_OIDC_CLIENT_ID",
        kinds.text(500, metavar="ID"),
        "This installation's client id at that provider.",
        default="",
    )
    client_secret: SecretText | None = setting(
        "VOLARY_OIDC_CLIENT_SECRET",
        kinds.secret(at_least=1),
        "Its client secret; not needed by public clients.",
        default=None,
    )
    provider_name: str = setting(
        "VOLARY_OIDC_NAME",
        kinds.text(60, metavar="NAME"),
        "The name of that provider on the login page.",
        default="single sign-on",
    )
    allow_private_providers: bool = setting(
        "VOLARY_OIDC_PRIVATE_ADDRESSES",
        kinds.boolean(),
        "Identity providers may have private addresses, and plain HTTP. Orgs choose the addresses of"
        " their providers: with this they can make the control plane send requests into its own"
        " network.",
        default=False,
    )

    def __post_init__(self) -> None:
        if self.issuer is not None and not self.client_id:
            raise ValueError("VOLARY_OIDC_ISSUER needs VOLARY_OIDC_CLIENT_ID")
        if self.mode is AuthMode.OIDC and not self.keys and self.key_file is None:
            raise ValueError(
                "logins need a sealing key; set VOLARY_SEALING_KEY or VOLARY_SEALING_KEY_FILE"
            )

    def find_provider(self) -> Provider | None:
        """Return the installation's own provider; ValueError if its issuer is no https URL."""
        if self.issuer is None:
            return None
        try:
            issuer = parse_issuer(self.issuer, allow_http=self.allow_private_providers)
        except InvalidError as error:
            raise ValueError(f"VOLARY_OIDC_ISSUER: {error}") from error
        return Provider(
            id=INSTALLATION,
            org=OrgName(""),
            settings=ProviderSettings(
                name=self.provider_name,
                issuer=issuer,
                client_id=self.client_id,
                scopes=("openid", "email", "profile"),
            ),
            client_secret=self.client_secret,
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
