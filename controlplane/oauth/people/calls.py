"""
Authenticates the console's calls of the API by the session cookie of a person's browser.

A browser sends the cookie with requests that other pages make, so a call that comes with one must
say that a page of this origin made it. Programs cannot: they use access tokens, as before.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from starlette.requests import cookie_parser

from controlplane.authn.authenticator import Authenticator
from controlplane.authn.bearer_tokens import HEADERS
from controlplane.authn.caller_cache import CallerCache
from controlplane.authn.revocations import Revocations
from controlplane.core.callers import Caller, Credential
from controlplane.core.credentials import CredentialKind
from controlplane.core.errors import UnauthenticatedError
from controlplane.oauth.people.cookies import SESSION, parse_secret
from controlplane.oauth.people.gate import BrowserGate
from shared.kit.cache import ExpiringCache
from shared.kit.clock import Clock
from shared.model.ids import OrgName

REMEMBERED = timedelta(seconds=1)
"""How long an admission is not checked again: a page that opens makes several calls at once."""

_CACHED = 10_000


class BrowserCalls:
    """Authenticator of calls with a session cookie; ``tokens`` is for all others."""

    def __init__(
        self,
        tokens: Authenticator,
        gate: BrowserGate,
        callers: CallerCache,
        revocations: Revocations,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._gate = gate
        self._callers = callers
        self._revocations = revocations
        self._clock = clock
        self._admitted: ExpiringCache[tuple[UUID, OrgName], bool] = ExpiringCache(_CACHED, clock)

    async def authenticate(self, headers: Mapping[str, str], peer: str | None) -> Caller:
        """Return the caller of a token or a session, with what it is granted now."""
        secret = parse_secret(cookie_parser(headers.get("cookie", "")).get(SESSION, ""))
        if secret is None or any(name in headers for name in HEADERS):
            return await self._tokens.authenticate(headers, peer)
        _require_own_page(headers)
        session = await self._gate.require_session(
            secret
        )  # at each call: another org may be chosen
        admission = (session.id, session.org)
        if self._admitted.get(admission) is None:
            await self._gate.require_admitted(session, secret)
            self._admitted.put(admission, True, until=self._clock.now() + REMEMBERED)
        caller = await self._callers.find(session.org, session.user.subject)
        credential = Credential(CredentialKind.BROWSER_SESSION, str(session.id), session.expires_at)
        # Last, and without an await before the caller registers a stream: it may have ended.
        self._revocations.require_valid(session.org, credential)
        return replace(caller, credential=credential)


def _require_own_page(headers: Mapping[str, str]) -> None:
    """Raise unless a page of this origin made the call; ``web.origins`` checks an Origin's value."""
    site = headers.get("sec-fetch-site")
    if site == "same-origin" or (site is None and "origin" in headers):
        return
    raise UnauthenticatedError(
        "a session's cookie is good for calls of this control plane's own pages only, which send"
        " Sec-Fetch-Site: same-origin, or Origin; a program sends an access token"
    )
