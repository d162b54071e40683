"""SessionService: lists and ends the sessions of people, of programs and of browsers."""

from controlplane.api.platform.conventions import ListCall, parse_id, render_time
from controlplane.core.callers import Caller
from controlplane.core.credentials import CredentialKind
from controlplane.core.identity import Session, UserId
from controlplane.usecases.identity.sessions import Sessions
from shared.idl.platform.v1 import session_pb2 as pb

_KINDS = frozenset({CredentialKind.LOGIN, CredentialKind.BROWSER_SESSION})


class SessionService:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def list_sessions(
        self, caller: Caller, request: pb.ListSessionsRequest
    ) -> pb.ListSessionsResponse:
        call = ListCall(caller, request)
        found = await self._sessions.list(caller, _parse_user(request.user_id))
        page, token = call.slice(sorted(found, key=_newest_first), _newest_first)
        return pb.ListSessionsResponse(
            sessions=[_render(caller, each) for each in page], next_page_token=token
        )

    async def revoke_session(
        self, caller: Caller, request: pb.RevokeSessionRequest
    ) -> pb.RevokeSessionResponse:
        session, user = parse_id(request.id, "id"), _parse_user(request.user_id)
        await self._sessions.revoke(caller, session, user)
        return pb.RevokeSessionResponse()


def _parse_user(text: str) -> UserId | None:
    return UserId(parse_id(text, "user_id")) if text else None


def _newest_first(session: Session) -> str:
    """Return a key that sorts the newest session first."""
    microseconds = round(session.created_at.timestamp() * 1_000_000)
    return f"{10**18 - microseconds:019}{session.id}"


def _render(caller: Caller, session: Session) -> pb.Session:
    used = caller.credential
    return pb.Session(
        id=str(session.id),
        user_id=str(session.user or ""),
        client_id=session.client_id,
        browser=session.browser,
        peer=session.peer,
        created_at=render_time(session.created_at),
        used_at=render_time(session.used_at),
        expires_at=render_time(session.expires_at),
        current=used is not None and used.kind in _KINDS and used.id == str(session.id),
    )
