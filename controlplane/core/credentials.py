"""Credentials: their kinds, their lifetimes, and revocations of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from controlplane.core.callers import Credential, Subject
from shared.model.ids import OrgName


class CredentialKind(StrEnum):
    """Kinds of credentials that can be revoked; stored, and named in access tokens."""

    API_KEY = "api_key"
    ATTEMPT = "attempt"
    BROWSER_SESSION = "browser_session"
    LOGIN = "login"  # by the SDK or CLI: a family of tokens


class EndedLogins(StrEnum):
    """Logins of programs in an org that end together; stored until the last one has ended."""

    OF_OTHER_PROVIDERS = "other_providers"  # the org requires its own provider
    OF_PROVIDER = "provider"  # one that was removed or disabled
    OF_ORG = "org"  # all; the org was deleted


ACCESS_TOKENS_LIVE = timedelta(minutes=15)
"""The longest that an access token is valid."""
LEEWAY = timedelta(seconds=60)
"""Difference between clocks that is accepted."""
REVOCATION_KEPT = ACCESS_TOKENS_LIVE + LEEWAY + timedelta(minutes=4)
"""How long a revocation is kept: no access token of its credential is valid any more."""


@dataclass(frozen=True, slots=True)
class CredentialOwner:
    """A subject, its org, and the credential that it came with."""

    org: OrgName
    subject: Subject
    credential: Credential


@dataclass(frozen=True, slots=True)
class Revocation:
    """A credential whose access tokens are refused until ``expires_at``."""

    org: OrgName
    kind: str
    id: str
    expires_at: datetime
