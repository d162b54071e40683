"""Use cases of browser sessions: start, find, choose an org, list, end."""

import logging
from collections.abc import Sequence
from uuid import UUID

from controlplane.core.browser_sessions import (
    ABSOLUTE,
    IDLE,
    LOGIN,
    NO_ORG,
    SEEN_EVERY,
    BrowserSession,
    is_valid,
)
from controlplane.core.deleted_orgs import explain_deletion
from controlplane.core.errors import NotAllowedError, NotFoundError
from controlplane.core.identity import User
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import browser_sessions as store, members, orgs, provider_logins
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.invitations import as_caller
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of, new_secret
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_MAX_BROWSER = 200


class BrowserSessions:
    """Use cases of sessions; a session is read from the database at each page, so its end holds at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def start(
        self,
        user: User,
        *,
        org: OrgName,
        provider: UUID | None,
        provider_org: OrgName = NO_ORG,
        email_verified: bool = False,
        peer: str,
        browser: str,
        replaces: SecretText | None,
    ) -> SecretText:
        """
        Start a session and return its secret, for the cookie.

        ``replaces``: the session that this browser had; it ends, so that none is carried over a login
        (session fixation).
        """
        now, secret = self._clock.now(), new_secret()
        session = BrowserSession(
            id=new_uuid(now),
            user=user,
            org=org,
            provider=provider,
            provider_org=provider_org,
            email_verified=email_verified,
            peer=peer[:100],
            browser=_printable(browser),
            created_at=now,
            seen_at=now,
            expires_at=now + ABSOLUTE,
        )
        async with self._database.for_fleet("start a browser session") as tx:
            if replaces is not None:
                old = await store.find_session(tx, digest_of(replaces))
                if old is not None:
                    await store.end_session(tx, old.id, old.user.id, now)
            await store.insert_session(tx, session, digest_of(secret))
        if org:
            await self._record(session, "session.start", org, peer)
        log.info(
            "browser session started",
            extra={"session": str(session.id), "user": str(user.id), "org": org, "peer": peer},
        )
        return secret

    async def find(self, secret: SecretText) -> BrowserSession | None:
        """Return a valid session, and note that it is used."""
        async with self._database.for_fleet("find a browser session") as tx:
            session = await store.find_session(tx, digest_of(secret))
            now = self._clock.now()
            if session is None or not is_valid(session.seen_at, session.expires_at, now):
                return None
            if now - session.seen_at >= SEEN_EVERY:
                await store.save_seen(tx, session.id, now)
                await provider_logins.save_seen(tx, session.user.id, now, before=now - SEEN_EVERY)
        return session

    async def choose_org(self, session: BrowserSession, org: OrgName, *, peer: str) -> None:
        """
        Make ``org`` the org of a session.

        NotAllowedError: the person is no member, the org requires its own identity provider, or it
        was deleted.
        """
        async with self._database.for_org(org) as tx:
            await _require_admitted(tx, session)
            member = await members.find_member(tx, session.user.id)
            deletion = await orgs.find_own_deletion(tx)
        if member is not None and deletion is not None:
            raise NotAllowedError(explain_deletion(org, deletion))
        if member is None:
            raise NotAllowedError(f"you are no member of an org {org}; ask its owner to invite you")
        async with self._database.for_fleet("choose the org of a session") as fleet:
            await store.choose_org(fleet, session.id, org)
        if org != session.org:
            await self._record(session, "session.start", org, peer)

    async def require_admitted(self, session: BrowserSession, org: OrgName) -> None:
        """NotAllowedError if ``org`` requires its own identity provider, and this is of another."""
        async with self._database.for_org(org) as tx:
            await _require_admitted(tx, session)

    async def list(self, session: BrowserSession) -> Sequence[BrowserSession]:
        """List the valid sessions of the same person, newest first."""
        now = self._clock.now()
        async with self._database.for_fleet("list browser sessions") as tx:
            return await store.list_sessions(tx, session.user.id, seen_after=now - IDLE, now=now)

    async def end(self, session: BrowserSession, ended: UUID, *, peer: str) -> None:
        """End a session of the same person; NotFoundError."""
        async with self._database.for_fleet("end a browser session") as tx:
            if not await store.end_session(tx, ended, session.user.id, self._clock.now()):
                raise NotFoundError("session", ended)
        if session.org:
            await self._record(session, "session.end", session.org, peer, ended)
        log.info("browser session ended", extra={"session": str(ended)})

    async def _record(
        self,
        session: BrowserSession,
        action: str,
        org: OrgName,
        peer: str,
        target: UUID | None = None,
    ) -> None:
        caller = as_caller(session.user, org, peer)
        by = "an owner link" if session.provider is None else f"provider {session.provider}"
        async with self._database.for_org(org) as tx:
            await record(
                tx,
                self._clock,
                caller,
                action,
                f"session:{target or session.id}",
                detail={"by": by, "browser": session.browser},
            )


async def _require_admitted(tx: OrgTx, session: BrowserSession) -> None:
    org = await orgs.find_org(tx)
    if org is not None and not org.admits(session.provider_org):
        raise NotAllowedError(
            f"org {org.name} admits people by its own identity provider only; log out, and enter"
            f" {org.name} at {LOGIN}"
        )


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:_MAX_BROWSER]
