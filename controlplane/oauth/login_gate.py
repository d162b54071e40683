"""Interface to the login of people in a browser: sessions, identity providers, choice of an org."""

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from controlplane.core.oauth import Login
from shared.kit.secrets import SecretText


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A person with a browser session, in the org that they chose."""

    login: Login
    name: str  # shown to them
    csrf_token: SecretText  # of the session; every form carries it


class LoginGate(Protocol):
    """Finds the browser session of a request, or leads to the login page."""

    async def find_login(self, request: Request, return_to: str) -> SignedIn | Response:
        """
        Return who is logged in, or a response that leads to the login page.

        ``return_to``: where the browser goes once they have logged in; a path of this service with
        its query, never an address of another host.
        """
        ...
