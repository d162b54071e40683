"""
Cookies of people's browsers: random secrets, for this host only.

``__Host-``: a browser takes such a cookie only over TLS (or from this machine), without a domain, so
no other host can plant one. Lax: it is sent when a link or a provider leads here, and not with the
requests that other sites' pages make.
"""

import re
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from shared.kit.secrets import SecretText

SESSION = "__Host-volary"
BROWSER = "__Host-volary-login"
"""Binds logins that have begun, and forms before a login, to a browser."""
INVITATION = "__Host-volary-invitation"
"""The token of an invitation, so that it is in no address after the first."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def find_cookie(request: Request, name: str) -> SecretText | None:
    """Return the secret in a cookie; None for anything that we have not made."""
    return parse_secret(request.cookies.get(name, ""))


def parse_secret(text: str) -> SecretText | None:
    """Return a text that has the form of ``new_secret``; None for any other."""
    return SecretText(text) if _SECRET.fullmatch(text) else None


def set_cookie(response: Response, name: str, secret: SecretText, lives: timedelta) -> None:
    response.set_cookie(
        name,
        secret.reveal(),
        max_age=int(lives.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )


def delete_cookie(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
