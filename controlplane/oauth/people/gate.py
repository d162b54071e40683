"""Finds the browser session of a request, or leads to the page where one begins."""

from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from controlplane.authn.authenticator import Authenticator
from controlplane.authn.bearer_tokens import HEADERS
from controlplane.authn.caller_cache import ResolveCaller
from controlplane.core.browser_sessions import (
    LOGIN,
    ORGS,
    BrowserSession,
    csrf_token_of,
    parse_return_path,
)
from controlplane.core.callers import Caller
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.oauth import Login
from controlplane.oauth.endpoints import peer_of
from controlplane.oauth.login_gate import SignedIn
from controlplane.oauth.people.cookies import SESSION, find_cookie
from controlplane.oauth.state import Admits
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.identity.group_checks import GroupChecks
from shared.kit.secrets import SecretText


class BrowserGate:
    """Gate of people with a browser session, in the org that they have chosen."""

    def __init__(
        self, sessions: BrowserSessions, checks: GroupChecks, resolve: ResolveCaller, admits: Admits
    ) -> None:
        self._sessions = sessions
        self._checks = checks
        self._resolve = resolve
        self._admits = admits

    async def find_session(self, request: Request) -> tuple[BrowserSession, SecretText] | None:
        """Return the session of a request's cookie, with its secret."""
        secret = find_cookie(request, SESSION)
        if secret is None:
            return None
        session = await self._sessions.find(secret)
        return None if session is None else (session, secret)

    async def require_session(self, secret: SecretText) -> BrowserSession:
        """Return the session of a cookie, in an org; UnauthenticatedError says where to go on."""
        session = await self._sessions.find(secret)
        if session is None:
            raise UnauthenticatedError(f"the browser session has ended; log in again at {LOGIN}")
        if not session.org:
            raise UnauthenticatedError(f"the browser session is in no org; choose one at {ORGS}")
        return session

    async def require_admitted(self, session: BrowserSession, secret: SecretText) -> None:
        """
        Raise UnauthenticatedError if the org admits the person no more, or their provider has not.

        Reads the person's groups again at the provider if that is due.
        """
        if await self._checks.check_user(session.user.id):
            await self.require_session(secret)
        if not await self._admits(session.org, session.provider_org):
            raise UnauthenticatedError(
                f"org {session.org} does not admit this login any more; choose one at {ORGS}"
            )

    async def find_login(self, request: Request, return_to: str) -> SignedIn | Response:
        found = await self.find_session(request)
        # If a check is due, the provider may end the session, so it is read again.
        if found is not None and await self._checks.check_user(found[0].user.id):
            found = await self.find_session(request)
        if found is None:
            return leading_to(LOGIN, return_to)
        session, secret = found
        if not session.org:
            return leading_to(ORGS, return_to)
        try:
            caller = await self._resolve(session.org, session.user.subject)
        except UnauthenticatedError:  # no member any more
            return leading_to(ORGS, return_to)
        if not await self._admits(session.org, session.provider_org):
            return leading_to(ORGS, return_to)
        return SignedIn(
            login=Login(session.org, session.user.subject, session.provider_org),
            name=caller.name or session.user.email,
            csrf_token=csrf_token_of(secret),
        )


def leading_to(page: str, return_to: str) -> Response:
    """Return a redirect to one of our pages, which leads back to ``return_to``."""
    query = urlencode({"next": parse_return_path(return_to)})
    return RedirectResponse(f"{page}?{query}", HTTPStatus.SEE_OTHER)


class PageGate:
    """Gate of pages about runs: people by their session, programs by an access token."""

    def __init__(self, gate: BrowserGate, authn: Authenticator, resolve: ResolveCaller) -> None:
        self._gate = gate
        self._authn = authn
        self._resolve = resolve

    async def find_caller(self, request: Request, return_to: str) -> Caller | Response:
        if any(name in request.headers for name in HEADERS):
            return await self._authn.authenticate(request.headers, peer_of(request))
        signed_in = await self._gate.find_login(request, return_to)
        if not isinstance(signed_in, SignedIn):
            return signed_in
        return await self._resolve(signed_in.login.org, signed_in.login.subject)
