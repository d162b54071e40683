"""Page of a person's sessions: browsers, and programs that they have logged in."""

from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from controlplane.core.browser_sessions import LOGIN, SESSIONS, csrf_token_of
from controlplane.core.oauth import PUBLIC_CLIENTS, Login
from controlplane.oauth.endpoints import peer_of
from controlplane.oauth.html import form, page, rows
from controlplane.oauth.own_forms import require_own_form
from controlplane.oauth.people.errors import with_error_pages
from controlplane.oauth.people.gate import BrowserGate, leading_to
from controlplane.oauth.people.layout import header_of
from controlplane.oauth.requests import BadRequestError, read_form
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.token_families import TokenFamilies

_MINUTES = "%Y-%m-%d %H:%M UTC"


class SessionRoutes:
    def __init__(
        self, *, gate: BrowserGate, sessions: BrowserSessions, families: TokenFamilies
    ) -> None:
        self._gate = gate
        self._sessions = sessions
        self._families = families

    def routes(self) -> list[Route]:
        return [
            Route(SESSIONS, with_error_pages(self._show), methods=["GET"]),
            Route(SESSIONS, with_error_pages(self._end), methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        found = await self._gate.find_session(request)
        if found is None:
            return leading_to(LOGIN, SESSIONS)
        session, secret = found
        token = csrf_token_of(secret).reveal()

        def button(kind: str, id_: UUID) -> str:
            values = {"id": str(id_)}
            return form(SESSIONS, token, values=values, buttons={kind: "End"}, style="small")

        body = rows(
            (
                _browser_of(each.browser) + (" (this one)" if each.id == session.id else ""),
                (
                    f"{each.org or 'no org'} · from {each.peer or 'unknown'} · since"
                    f" {each.created_at:{_MINUTES}} · used {each.seen_at:{_MINUTES}}"
                ),
                button("browser", each.id),
            )
            for each in await self._sessions.list(session)
        )
        body = f"<h2>Browsers</h2>{body}<h2>Programs</h2>"
        programs = []
        if session.org:
            login = Login(session.org, session.user.subject)
            programs = list(await self._families.list_live(login))
        if programs:
            body += rows(
                (
                    _title_of(each.family.client_id),
                    (
                        f"{each.family.login.org} · since {each.created_at:{_MINUTES}} · used"
                        f" {each.used_at:{_MINUTES}}"
                    ),
                    button("program", each.family.id),
                )
                for each in programs
            )
        else:
            body += f'<p class="quiet">No program is logged in for you in {session.org or "an org"}.</p>'
        return page("Your sessions", body, header=header_of(session, token))

    async def _end(self, request: Request) -> Response:
        found = await self._gate.find_session(request)
        if found is None:
            return leading_to(LOGIN, SESSIONS)
        session, secret = found
        entered = await read_form(request)
        require_own_form(request, entered, csrf_token_of(secret), session.user.subject)
        try:
            ended = UUID(entered.get("id", ""))
        except ValueError as error:
            raise BadRequestError("the form names no session") from error
        match entered.get("decision", ""):
            case "browser":
                await self._sessions.end(session, ended, peer=peer_of(request))
            case "program" if session.org:
                await self._families.revoke_own(Login(session.org, session.user.subject), ended)
            case _:
                raise BadRequestError("the form names no session")
        return RedirectResponse(SESSIONS, HTTPStatus.SEE_OTHER)


def _title_of(client_id: str) -> str:
    client = PUBLIC_CLIENTS.get(client_id)
    return client_id if client is None else client.title


def _browser_of(agent: str) -> str:
    """Return the name of a browser and its system, as far as its User-Agent says them."""
    browsers = {"Edg/": "Edge", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {
        "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows",
        "Mac OS": "macOS", "Linux": "Linux",
    }  # fmt: skip
    browser = next((name for mark, name in browsers.items() if mark in agent), "A browser")
    system = next((name for mark, name in systems.items() if mark in agent), "")
    return f"{browser} on {system}" if system else browser
