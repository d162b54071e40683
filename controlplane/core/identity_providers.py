"""Identity providers (OpenID Connect), and what they say of a person who logs in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from controlplane.core.email_addresses import domain_of
from controlplane.core.errors import InvalidError
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

MAX_PROVIDERS = 20
"""Of one org."""
INSTALLATION = UUID(int=0)
"""Id of the provider that the operator has set for all orgs; it has no row and no org."""
DEFAULT_SCOPES = ("openid", "email", "profile", "offline_access")

GROUPS_CHECKED_EVERY = timedelta(minutes=4)
"""How often a person's groups are read again at the provider while the person is active."""
GROUPS_VALID = timedelta(hours=1)
"""How long groups count while the provider does not answer."""
GROUPS_VALID_UNCHECKED = timedelta(minutes=5)
"""How long groups count if the provider gave no refresh token, so they cannot be read again."""
ACTIVE = timedelta(minutes=20)
"""A person is active this long after a page or a refreshed token: access tokens live for less."""

MAX_GROUPS = 1_000
_MAX_TEXT = 256
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")
_CLAIM = re.compile(r"[A-Za-z0-9_.:/-]{0,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """
    Configuration of a provider, by an org's owner or the operator.

    ``groups_claim``: the claim with a person's groups, to which roles are bound; "": none.
    ``email_domains``: a person with a verified address there becomes a member at login, with
    ``role``; others need an invitation.
    """

    name: str
    issuer: str
    client_id: str
    scopes: Sequence[str] = DEFAULT_SCOPES
    groups_claim: str = ""
    email_domains: Sequence[str] = ()
    role: str = ""
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider; ``client_secret`` is None for a public client, and in lists."""

    id: UUID
    org: OrgName  # "" for the installation's
    settings: ProviderSettings
    client_secret: SecretText | None
    created_by: str = ""
    created_at: datetime | None = None
    version: int = 0

    @property
    def is_installation(self) -> bool:
        return self.id == INSTALLATION

    def joins(self, identity: "ProviderIdentity") -> bool:
        """Return whether a person becomes a member by logging in at this provider."""
        return identity.email_verified and domain_of(identity.email) in self.settings.email_domains


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderIdentity:
    """A person as a provider describes them; ``groups`` is None if it was not asked."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    groups: Sequence[str] | None


class LoginError(Exception):
    """
    A login at a provider failed; the text is for the person, and contains no secret.

    ``is_temporary``: the same login may work later.
    """

    is_temporary = False


class ProviderUnavailableError(LoginError):
    """The provider is slow, down, or answers nonsense; the same login may work later."""

    is_temporary = True


class ProviderRefusedError(LoginError):
    """The provider does not know the login (any more), or has refused it."""


def parse_issuer(issuer: str, *, allow_http: bool) -> str:
    """Validate an issuer: an https URL, compared character by character with what it says itself."""
    text = issuer.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise InvalidError(f"issuer {text[:80]!r} is not a URL") from error
    schemes = ("https", "http") if allow_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or len(text) > 500:
        raise InvalidError(
            f"issuer {text[:80]!r}: use the https URL that the provider names as its issuer"
        )
    if parts.query or parts.fragment or parts.username is not None or not text.isprintable():
        raise InvalidError(f"issuer {text[:80]!r}: leave out user, query and fragment")
    return text


def parse_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Validate scopes; ``openid`` is always among them."""
    if len(scopes) > 20 or not all(_SCOPE.fullmatch(each) for each in scopes):
        raise InvalidError("scopes: use at most 20 words without spaces and quotes")
    return tuple(dict.fromkeys(("openid", *scopes)))


def parse_claim(claim: str) -> str:
    """Validate the name of a claim; "" for none."""
    if not _CLAIM.fullmatch(claim):
        raise InvalidError("groups_claim: name the claim, such as groups")
    return claim


def read_groups(value: object) -> Sequence[str]:
    """Return the groups of a claim: a list of names, or one name; anything else is none."""
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    names = {each for each in values if isinstance(each, str) and 0 < len(each) <= _MAX_TEXT}
    return sorted(each for each in names if each.isprintable())[:MAX_GROUPS]


def read_text(value: object, most: int = _MAX_TEXT) -> str:
    """Return a claim as one printable line of at most ``most`` characters; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value if each.isprintable())[:most].strip()
