"""Pages of logging in and out: choose a provider, come back from it, end the session."""

from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from controlplane.core.browser_sessions import (
    ABSOLUTE,
    ATTEMPT_LIVES,
    CALLBACK,
    LOGIN,
    LOGOUT,
    START,
    csrf_token_of,
    parse_return_path,
)
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.identity import parse_org
from controlplane.core.identity_providers import Provider
from controlplane.oauth.endpoints import peer_of
from controlplane.oauth.html import form, link, page, problem, text_field
from controlplane.oauth.metrics import BrowserLoginMetrics
from controlplane.oauth.own_forms import require_own_form
from controlplane.oauth.people.cookies import (
    BROWSER,
    INVITATION,
    SESSION,
    delete_cookie,
    find_cookie,
    set_cookie,
)
from controlplane.oauth.people.errors import with_error_pages
from controlplane.oauth.people.gate import BrowserGate
from controlplane.oauth.people.requests import browser_of, once, require_admitted
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.requests import BadRequestError, read_form
from controlplane.usecases.identity.browser_logins import BrowserLogins, Ended
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.identity.providers import IdentityProviders
from shared.kit.secrets import SecretText, new_secret
from shared.model.ids import OrgName

_FOOTER = "The first owner of an org logs in by a one-time link, which the operator makes."


class LoginRoutes:
    def __init__(
        self,
        *,
        public_url: str,
        gate: BrowserGate,
        logins: BrowserLogins,
        sessions: BrowserSessions,
        providers: IdentityProviders,
        limits: RateLimits,
        metrics: BrowserLoginMetrics,
    ) -> None:
        self._metrics = metrics
        self._public_url = public_url.rstrip("/")
        self._gate = gate
        self._logins = logins
        self._sessions = sessions
        self._providers = providers
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route(LOGIN, with_error_pages(self._show), methods=["GET"]),
            Route(LOGIN, with_error_pages(self._find), methods=["POST"]),
            Route(START, with_error_pages(self._start), methods=["GET"]),
            Route(CALLBACK, with_error_pages(self._finish), methods=["GET"]),
            Route(LOGOUT, with_error_pages(self._log_out), methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        """Offer the providers that need no choice of an org, and a field for the others."""
        going = parse_return_path(once(request, "next"))
        if await self._gate.find_session(request) is not None:
            return RedirectResponse(going, HTTPStatus.SEE_OTHER)
        return self._page(request, await self._providers.list_for_login(), going)

    async def _find(self, request: Request) -> Response:
        """Find the providers of an org or an e-mail address."""
        entered = await read_form(request)
        bound_to = find_cookie(request, BROWSER)
        if bound_to is None:
            raise BadRequestError("your browser sent no cookie; allow cookies and start again")
        require_own_form(request, entered, csrf_token_of(bound_to), "")
        require_admitted(self._limits, request, "login")
        going = parse_return_path(entered.get("next", ""))
        account = entered.get("account", "").strip()
        own = await self._find_own(account)
        if len(own) == 1:
            address = start_address(own[0], going)
            body = f"<p>You log in at <b>{escape(own[0].settings.name)}</b>.</p>"
            return page("Log in", body + link(address, "Continue"), refresh=address)
        message = "" if own else "No login is set up for this org or address."
        offered = [*own, *await self._providers.list_for_login()]
        return self._page(request, offered, going, account=account, message=message)

    async def _find_own(self, account: str) -> Sequence[Provider]:
        """
        Return the providers of an e-mail address's orgs, or of an org by its name.

        A name that is none gets the same answer as one that is unknown.
        """
        if "@" in account:
            found = await self._providers.list_of_email(account)
        else:
            try:
                found = await self._providers.list_for_login(parse_org(account.lower()))
            except InvalidError:
                found = []
        return [each for each in found if not each.is_installation]

    def _page(
        self,
        request: Request,
        providers: Sequence[Provider],
        going: str,
        *,
        account: str = "",
        message: str = "",
    ) -> Response:
        bound_to = find_cookie(request, BROWSER) or new_secret()
        body = problem(message) + provider_links(providers, going)
        if providers:
            body += "<h2>Or by the login of your org</h2>"
        body += form(
            LOGIN,
            csrf_token_of(bound_to).reveal(),
            values={"next": going},
            buttons={"find": "Continue"},
            entry=text_field("account", "Org or e-mail address", value=account[:200]),
            style="wide" if providers else "",
        )
        response = page("Log in", body, footer=_FOOTER)
        set_cookie(response, BROWSER, bound_to, ATTEMPT_LIVES)
        return response

    async def _start(self, request: Request) -> Response:
        """Send the browser to a provider."""
        require_admitted(self._limits, request, "login")
        try:
            provider = UUID(once(request, "provider"))
        except ValueError as error:
            raise NotFoundError("identity provider", "of this address") from error
        org = once(request, "org")
        bound_to = find_cookie(request, BROWSER) or new_secret()
        with self._metrics.counted("begin"):
            address = await self._logins.begin(
                parse_org(org) if org else OrgName(""),
                provider,
                parse_return_path(once(request, "next")),
                bound_to=bound_to,
                peer=peer_of(request),
            )
        headers = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
        response = RedirectResponse(address, HTTPStatus.SEE_OTHER, headers)
        set_cookie(response, BROWSER, bound_to, ATTEMPT_LIVES)
        return response

    async def _finish(self, request: Request) -> Response:
        """Take a provider's answer."""
        code, issuer = once(request, "code"), once(request, "iss")
        with self._metrics.counted("finish"):
            ended = await self._logins.finish(
                state=SecretText(once(request, "state")),
                code=SecretText(code) if code and not once(request, "error") else None,
                issuer=issuer or None,
                bound_to=find_cookie(request, BROWSER),
                browser=browser_of(request),
            )
        return logged_in(ended)

    async def _log_out(self, request: Request) -> Response:
        found = await self._gate.find_session(request)
        address = None
        if found is not None:
            session, secret = found
            entered = await read_form(request)
            require_own_form(request, entered, csrf_token_of(secret), session.user.subject)
            address = await self._logins.logout_url(session, f"{self._public_url}{LOGIN}")
            await self._sessions.end(session, session.id, peer=peer_of(request))
        body = "<p>Programs that you have logged in stay so; end them on the page of sessions.</p>"
        if address is not None:
            body += link(address, "Log out at your identity provider too")
        response = page("You are logged out", body + link(LOGIN, "Log in again"))
        for name in (SESSION, BROWSER, INVITATION):
            delete_cookie(response, name)
        return response


def logged_in(ended: Ended) -> Response:
    """
    Set the new session's cookie, and go on.

    By a page, not a redirect: for browsers a redirect belongs to the provider's site, and this
    service answers requests of other sites on few pages (``web.origins``).
    """
    body = link(ended.return_to, "Continue")
    response = page("You are logged in", body, refresh=ended.return_to)
    set_cookie(response, SESSION, ended.session, ABSOLUTE)
    delete_cookie(response, BROWSER)
    return response


def provider_links(providers: Sequence[Provider], going: str) -> str:
    """
    Render a button for each provider; the first is the main one.

    Providers of several orgs are shown with their org: two may have proven one e-mail domain, and
    the names of providers are as each org likes.
    """
    orgs = {each.org for each in providers if not each.is_installation}
    return "".join(
        link(
            start_address(each, going),
            f"Log in with {each.settings.name}"
            + (f" ({each.org})" if len(orgs) > 1 and not each.is_installation else ""),
            style="button wide main" if number == 0 else "button wide",
        )
        for number, each in enumerate(providers)
    )


def start_address(provider: Provider, going: str) -> str:
    query = {"provider": str(provider.id), "org": provider.org, "next": going}
    return f"{START}?{urlencode({name: value for name, value in query.items() if value})}"
