"""
Rules of the authorization server: clients, redirect addresses, lifetimes, user codes.

Sources: RFC 6749 (OAuth 2.0), RFC 8252 (native apps), RFC 8628 (devices), RFC 9700 (security).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from controlplane.core.callers import Subject
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

CODE_LIVES = timedelta(seconds=60)
"""How long an authorization code is valid: the SDK redeems it at once."""
DEVICE_CODE_LIVES = timedelta(minutes=10)
POLL_INTERVAL = timedelta(seconds=5)
SLOW_DOWN_BY = timedelta(seconds=5)
"""How much longer a client that polls too fast has to wait between polls (RFC 8628, 3.5)."""
LONGEST_POLL_INTERVAL = timedelta(seconds=60)
MOST_PENDING_OF_PEER = 50
"""Device logins that one address may have pending."""

REFRESH_TOKEN_LIVES = timedelta(days=14)
"""How long a login stays valid without being used."""
LOGIN_LIVES = timedelta(days=90)
"""How long a login stays valid at most; then the person logs in again."""
GRACE = timedelta(seconds=30)
"""How long a replaced refresh token still gives its successor: the SDK refreshes concurrently."""
USED_TOKENS_KEPT = timedelta(days=7)
"""How long reuse of a replaced refresh token is detected."""

USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Letters of a user code: no vowels, so no words; nothing that looks like another."""
USER_CODE_LENGTH = 8

AUTHORIZE, TOKEN, DEVICE = "/oauth2/authorize", "/oauth2/token", "/oauth2/device"
REVOKE, INTROSPECT, JWKS = "/oauth2/revoke", "/oauth2/introspect", "/oauth2/jwks"
"""Paths of the endpoints, below the public URL."""
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = ("authorization_code", "client_credentials", "refresh_token", DEVICE_CODE_GRANT)
SCOPE = "all"
"""The one scope: a token may do what its subject's roles allow."""

CALLBACK = "http://localhost:53593/callback"
"""The redirect address that the SDK is told; it may use any other port."""

_LOOPBACK_CALLBACK = re.compile(r"http://localhost:([1-9][0-9]{0,4})/callback")


@dataclass(frozen=True, slots=True)
class PublicClient:
    """A program on a person's computer, which cannot keep a secret."""

    id: str
    title: str  # shown to the person who allows it
    takes_errors: bool = False  # its local server has a page for errors; the SDK's waits for ever


FLYTE = PublicClient("flyte", "The Flyte command line or SDK")
PUBLIC_CLIENTS: Mapping[str, PublicClient] = {
    client.id: client
    for client in (FLYTE, PublicClient("volary", "The Volary command line", takes_errors=True))
}


_INSTALLATION = OrgName("")  # whose identity provider belongs to no org


@dataclass(frozen=True, slots=True)
class Login:
    """
    A person who has logged in, in one org: what a code or token stands for.

    ``provider_org``: the org whose identity provider or owner link they used; "": the
    installation's provider.
    """

    org: OrgName
    subject: Subject
    provider_org: OrgName = _INSTALLATION


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """The login, client and challenge that an authorization code stands for."""

    login: Login
    client_id: str
    redirect_uri: str
    code_challenge: str  # of the method S256
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A device that waits for a person's decision."""

    client_id: str
    peer: str  # its address
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledDevice:
    """A device login as one poll found it; a decided one is deleted by that poll."""

    client_id: str
    expires_at: datetime
    approved: bool | None
    login: Login | None
    is_too_fast: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFamily:
    """All tokens that follow from one login by the SDK or CLI; revoked together."""

    id: UUID
    login: Login
    client_id: str
    expires_at: datetime
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class LiveFamily:
    """A valid login, for the list of a person's logins."""

    family: TokenFamily
    created_at: datetime
    used_at: datetime  # when it was last refreshed


class RefreshStatus(Enum):
    """Meanings of presenting a refresh token that is not the latest of its family."""

    REPEATED = auto()  # it was replaced moments ago: the same successor is given again
    REUSED = auto()  # it was replaced before: it may be stolen, so its family is revoked
    INVALID = auto()


def is_loopback_callback(redirect_uri: str) -> bool:
    """
    Return whether an address is ``http://localhost:<port>/callback``, and nothing more.

    The port is the client's choice (RFC 8252, 7.3). The whole address is matched, not parsed:
    what a browser makes of user info, fragments and backslashes then does not matter.
    """
    match = _LOOPBACK_CALLBACK.fullmatch(redirect_uri)
    return match is not None and int(match[1]) <= 65535


def family_of_code(code: SecretText) -> UUID:
    """
    Return the id of the token family that a code is redeemed for.

    It follows from the code, so that a code that is presented a second time, when its row is
    gone, still leads to the tokens that have to be revoked. The id does not reveal the code.
    """
    digest = hashlib.sha256(b"token family of code\0" + code.reveal().encode()).digest()
    return UUID(bytes=digest[:16], version=4)


def classify_replaced(used_at: datetime | None, now: datetime) -> RefreshStatus:
    """Return what presenting a token means that could not be replaced, or was at ``used_at``."""
    if used_at is None:
        return RefreshStatus.INVALID
    return RefreshStatus.REPEATED if now - used_at <= GRACE else RefreshStatus.REUSED


def normalise_user_code(text: str) -> str | None:
    """Return a typed code as ``BCDF-GHJK``; None if it cannot be one."""
    letters = re.sub(r"[\s-]", "", text).upper()
    if len(letters) != USER_CODE_LENGTH or not set(letters) <= set(USER_CODE_LETTERS):
        return None
    return format_user_code(letters)


def format_user_code(letters: str) -> str:
    half = USER_CODE_LENGTH // 2
    return f"{letters[:half]}-{letters[half:]}"
