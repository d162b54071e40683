"""Sessions of people in browsers: lifetimes, the pages that a login may lead to, CSRF tokens."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.identity import User
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

IDLE = timedelta(hours=8)
"""How long a session is valid without being used."""
ABSOLUTE = timedelta(hours=24)
"""How long a session is valid at most; then the person logs in again."""
SEEN_EVERY = timedelta(minutes=1)
"""How exactly the last use is stored."""
MAX_SESSIONS = 100
"""Of one person; the least recently used one ends when another starts."""

ATTEMPT_LIVES = timedelta(minutes=10)
"""How long a person may take at the provider."""
MAX_ATTEMPTS_OF_PEER = 300
"""Logins that browsers of one address may have begun: an office behind one address."""

NO_ORG = OrgName("")
"""No org is chosen, or the provider is the installation's."""

LOGIN, START, CALLBACK, LOGOUT = "/login", "/login/start", "/login/callback", "/logout"
ORGS, SESSIONS = "/orgs", "/sessions"
HOME = "/"
"""Leads to the console if it is built, else to the page of orgs; both lead to a login first."""

_PATH = re.compile(r"/(?![/\\])[\x21\x24-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]*")
_MAX_PATH = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSession:
    """
    A person's session in a browser; ``org`` is "" until one is chosen.

    ``provider_org`` is the org whose provider or owner link the person used, "" for the
    installation's provider; ``email_verified`` is what that provider says. ``provider`` is None for
    owner links.
    """

    id: UUID
    user: User
    org: OrgName
    provider: UUID | None
    provider_org: OrgName
    email_verified: bool
    peer: str
    browser: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime

    def user_in(self, org: OrgName) -> User:
        """
        Return the person as ``org`` may trust them.

        What a provider of an org says of an address is believed in that org only: the owner of
        another org could otherwise claim any address by a provider of theirs.
        """
        verified = self.user.email_verified or (
            self.email_verified and bool(org) and self.provider_org == org
        )
        return User(
            id=self.user.id, email=self.user.email, email_verified=verified, name=self.user.name
        )


def is_valid(seen_at: datetime, expires_at: datetime, now: datetime) -> bool:
    return now < expires_at and now - seen_at < IDLE


def csrf_token_of(session: SecretText) -> SecretText:
    """Return the token that a session's forms carry; it does not reveal the session."""
    digest = hashlib.sha256(b"volary csrf token\0" + session.reveal().encode())
    return SecretText(digest.hexdigest())


def parse_return_path(text: str, default: str = HOME) -> str:
    r"""
    Return a path of this service with its query; ``default`` for anything else.

    A browser must take it for a path: no scheme, no host (``//host``, ``/\\host``), no character
    that browsers remove or change (tabs, line ends, backslashes).
    """
    if len(text) > _MAX_PATH or not _PATH.fullmatch(text):
        return default
    return text
