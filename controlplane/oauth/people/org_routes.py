"""Pages of people and their orgs: choose, create, join by an invitation or an e-mail domain."""

from html import escape
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from controlplane.core.browser_sessions import (
    ATTEMPT_LIVES,
    HOME,
    LOGIN,
    ORGS,
    BrowserSession,
    csrf_token_of,
    parse_return_path,
)
from controlplane.core.callers import Caller
from controlplane.core.identity import JOIN_PATH, parse_org
from controlplane.oauth.endpoints import peer_of
from controlplane.oauth.html import form, page, problem, rows, text_field
from controlplane.oauth.metrics import BrowserLoginMetrics
from controlplane.oauth.own_forms import require_own_form
from controlplane.oauth.people.cookies import (
    BROWSER,
    INVITATION,
    delete_cookie,
    find_cookie,
    parse_secret,
    set_cookie,
)
from controlplane.oauth.people.errors import with_error_pages
from controlplane.oauth.people.gate import BrowserGate, leading_to
from controlplane.oauth.people.layout import header_of
from controlplane.oauth.people.login_routes import logged_in, provider_links
from controlplane.oauth.people.requests import browser_of, once, require_admitted
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.requests import BadRequestError, read_form
from controlplane.usecases.identity.browser_logins import BrowserLogins
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.identity.invitations import Invitations, as_caller
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.providers import IdentityProviders
from shared.kit.secrets import SecretText, new_secret
from shared.model.ids import OrgName

_CONSOLE = "/v2"


class OrgRoutes:
    def __init__(
        self,
        *,
        gate: BrowserGate,
        logins: BrowserLogins,
        sessions: BrowserSessions,
        providers: IdentityProviders,
        orgs: Orgs,
        invitations: Invitations,
        limits: RateLimits,
        metrics: BrowserLoginMetrics,
    ) -> None:
        self._metrics = metrics
        self._gate = gate
        self._logins = logins
        self._sessions = sessions
        self._providers = providers
        self._orgs = orgs
        self._invitations = invitations
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("/", self._home, methods=["GET"]),
            Route(ORGS, with_error_pages(self._show), methods=["GET"]),
            Route(ORGS, with_error_pages(self._decide), methods=["POST"]),
            Route(JOIN_PATH, with_error_pages(self._show_invitation), methods=["GET"]),
            Route(JOIN_PATH, with_error_pages(self._join), methods=["POST"]),
        ]

    async def _home(self, _request: Request) -> Response:
        return RedirectResponse(ORGS, HTTPStatus.SEE_OTHER)

    async def _show(self, request: Request) -> Response:
        """Show the person's orgs, those that they may join, and a form for a new one."""
        going = parse_return_path(once(request, "next"))
        found = await self._gate.find_session(request)
        if found is None:
            return leading_to(LOGIN, f"{ORGS}?{request.url.query}" if going != HOME else ORGS)
        session, secret = found
        token = csrf_token_of(secret).reveal()
        mine, _ = await self._orgs.list_mine(_caller_of(session, request))
        joinable = await self._invitations.list_joinable(session.user)

        def button(org: str, decision: str, text: str) -> str:
            return form(
                ORGS,
                token,
                values={"org": org, "next": going},
                buttons={decision: text},
                style="small",
            )

        body = "<p>You work in one org at a time; programs that you log in work in it too.</p>"
        if not mine and not joinable:
            body = "<p>You are in no org yet. Ask an owner to invite you, or create one.</p>"
        if mine:
            body += rows(
                (
                    each.display_name or each.org,
                    f"{each.org} · {each.role or 'by groups and bindings'}",
                    '<span class="quiet" aria-current="true">current</span>'
                    if each.org == session.org and going == HOME
                    else button(each.org, "choose", "Choose"),
                )
                for each in mine
            )
            body += f'<p><a href="{_CONSOLE}">Go to the console</a></p>' if session.org else ""
        if joinable:
            body += "<h2>Open to your e-mail domain</h2>"
            body += rows(
                (
                    each.display_name or each.org,
                    f"{each.org} · {each.role}",
                    button(each.org, "join", "Join"),
                )
                for each in joinable
            )
        if self._orgs.is_self_service:
            body += "<h2>A new org</h2>" + form(
                ORGS,
                token,
                values={"next": going},
                buttons={"create": "Create"},
                entry=text_field(
                    "org",
                    "Name",
                    hint="Small letters, digits and dashes.",
                    most=63,
                    focus=not mine,
                ),
                style="" if mine else "main",
            )
        return page("Your orgs", body, header=header_of(session, token))

    async def _decide(self, request: Request) -> Response:
        """Choose, join or create an org, and go on in it."""
        session, entered = await self._require_form(request)
        org = parse_org(entered.get("org", "").strip().lower())
        peer = peer_of(request)
        match entered.get("decision", ""):
            case "choose":
                pass
            case "join":
                await self._sessions.require_admitted(session, org)
                await self._invitations.join_by_email(session.user, org, peer=peer)
            case "create":
                require_admitted(self._limits, request, "create org")
                await self._orgs.create(_caller_of(session, request), org)
            case _:
                raise BadRequestError("the form has no decision")
        await self._sessions.choose_org(session, org, peer=peer)
        return RedirectResponse(parse_return_path(entered.get("next", "")), HTTPStatus.SEE_OTHER)

    async def _show_invitation(self, request: Request) -> Response:
        """Ask whether an invitation is accepted, after a login if there is none."""
        if given := once(request, "invitation"):
            # Into a cookie at once: an address is kept in histories, and sent on as a referrer.
            response = page("Invitation", "", refresh=JOIN_PATH)
            delete_cookie(response, INVITATION)
            if token := parse_secret(given):
                set_cookie(response, INVITATION, token, ATTEMPT_LIVES)
            return response
        token = _require_invitation(request)
        org, invitation = await self._invitations.find(token)
        found = await self._gate.find_session(request)
        shown = f"<p>You are invited to the org <b>{escape(org)}</b> as {escape(invitation.role)}"
        shown += f" of the project {escape(invitation.project)}" if invitation.project else ""
        shown += ".</p>"
        if found is not None:
            session, secret = found
            csrf_token = csrf_token_of(secret).reveal()
            body = shown + form(JOIN_PATH, csrf_token, buttons={"accept": "Join"})
            body += (
                f'<p class="quiet">You are logged in as {escape(_name_of(session))}. Log out to'
                " join as another person.</p>"
            )
            return page(f"Join {org}", body, header=header_of(session, csrf_token))
        bound_to = find_cookie(request, BROWSER) or new_secret()
        providers = await self._providers.list_for_login(org)
        body = shown
        if invitation.is_owner_link:
            body += form(
                JOIN_PATH,
                csrf_token_of(bound_to).reveal(),
                buttons={"owner": "Log in by this link"},
                style="main wide",
            )
            body += (
                '<p class="quiet">The link works once and needs no identity provider. To come'
                " back, ask the operator for another one: it logs in the same account.</p>"
            )
        elif not providers:
            body += problem("No login is set up for this org; ask its owner to set one up.")
        if invitation.is_owner_link and providers:
            body += "<h2>Or become an owner with your own login</h2>"
        body += provider_links(providers, JOIN_PATH)
        response = page(f"Join {org}", body)
        set_cookie(response, BROWSER, bound_to, ATTEMPT_LIVES)
        return response

    async def _join(self, request: Request) -> Response:
        """Accept an invitation, as the person who is logged in, or by an owner link alone."""
        token = _require_invitation(request)
        found = await self._gate.find_session(request)
        require_admitted(self._limits, request, "join")
        if found is None:
            entered = await read_form(request)
            bound_to = find_cookie(request, BROWSER)
            if bound_to is None or entered.get("decision", "") != "owner":
                return leading_to(LOGIN, JOIN_PATH)
            require_own_form(request, entered, csrf_token_of(bound_to), "")
            with self._metrics.counted("owner_link"):
                ended = await self._logins.open_owner_link(token, browser_of(request), HOME)
            response = logged_in(ended)
        else:
            session, _ = await self._require_form(request)
            org = await self._invitations.find_org(token)
            await self._sessions.require_admitted(session, org)
            await self._invitations.accept(session.user_in(org), token, peer=peer_of(request))
            await self._sessions.choose_org(session, org, peer=peer_of(request))
            response = RedirectResponse(HOME, HTTPStatus.SEE_OTHER)
        delete_cookie(response, INVITATION)
        return response

    async def _require_form(self, request: Request) -> tuple[BrowserSession, dict[str, str]]:
        """Return the session, and a form that a page of it sent; BadRequestError."""
        found = await self._gate.find_session(request)
        if found is None:
            raise BadRequestError("your session has ended; log in again")
        session, secret = found
        entered = dict(await read_form(request))
        require_own_form(request, entered, csrf_token_of(secret), session.user.subject)
        return session, entered


def _require_invitation(request: Request) -> SecretText:
    token = find_cookie(request, INVITATION)
    if token is None:
        raise BadRequestError(
            "there is no invitation here; open its link again, with cookies allowed"
        )
    return token


def _caller_of(session: BrowserSession, request: Request) -> Caller:
    return as_caller(session.user, session.org or OrgName(""), peer_of(request))


def _name_of(session: BrowserSession) -> str:
    user = session.user
    return f"{user.name} ({user.email})" if user.email and user.email != user.name else user.name
