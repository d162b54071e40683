"""The header of pages for people who are logged in."""

from html import escape

from controlplane.core.browser_sessions import LOGOUT, ORGS, SESSIONS, BrowserSession
from controlplane.oauth.html import form


def header_of(session: BrowserSession, csrf_token: str) -> str:
    """Render links, and a button to log out; ``csrf_token``: of the session."""
    log_out = form(LOGOUT, csrf_token, buttons={"logout": "Log out"}, style="small")
    return (
        f'<nav class="quiet"><a href="{ORGS}">Orgs</a> · <a href="{SESSIONS}">Sessions</a></nav>'
        f'<span class="quiet">{escape(session.user.name)}</span>{log_out}'
    )
