"""
Use cases of sessions: programs that people have logged in, and their browsers, in one org.

A person lists and ends their own; administrators do so for members that they outrank.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from controlplane.core.browser_sessions import IDLE
from controlplane.core.callers import Caller, Permission, Subject
from controlplane.core.errors import NotFoundError
from controlplane.core.identity import Session, UserId, find_user_id, subject_of_user
from controlplane.core.oauth import LiveFamily, Login
from controlplane.store.database import Database
from controlplane.store.identity import browser_sessions, members
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.roles import require_all_of
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import Clock

log = logging.getLogger(__name__)


class Sessions:
    def __init__(self, database: Database, clock: Clock, families: TokenFamilies) -> None:
        self._database = database
        self._clock = clock
        self._families = families

    async def list(self, caller: Caller, user: UserId | None = None) -> Sequence[Session]:
        """List the sessions of the caller or of a member in the org, newest first. NotFoundError."""
        subject = await self._require(caller, user)
        programs = await self._families.list_live(Login(caller.org, subject))
        found = [*map(_of_program, programs), *await self._list_browsers(caller, subject)]
        return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)

    async def revoke(self, caller: Caller, session: UUID, user: UserId | None = None) -> None:
        """End a session of the caller or of a member. NotFoundError, NotAllowedError."""
        subject = await self._require(caller, user)
        if subject != caller.subject:
            async with self._database.for_org(caller.org) as tx:
                await require_all_of(tx, caller, subject)
        browsers = await self._list_browsers(caller, subject)
        if session in {each.id for each in browsers}:
            await self._end_browser(caller, session, subject)
        else:
            await self._families.revoke_own(Login(caller.org, subject), session, by=caller)

    async def _list_browsers(self, caller: Caller, subject: Subject) -> Sequence[Session]:
        """List a person's browsers that have chosen the caller's org; they may choose others."""
        user, now = find_user_id(subject), self._clock.now()
        if user is None:
            return []
        async with self._database.for_fleet("list the browser sessions of a person") as fleet:
            found = await browser_sessions.list_sessions(
                fleet, user, seen_after=now - IDLE, now=now
            )
        return [
            Session(
                id=each.id,
                user=user,
                client_id="",
                browser=each.browser,
                peer=each.peer,
                created_at=each.created_at,
                used_at=each.seen_at,
                expires_at=each.expires_at,
            )
            for each in found
            if each.org == caller.org
        ]

    async def _end_browser(self, caller: Caller, session: UUID, subject: Subject) -> None:
        user = find_user_id(subject)
        if user is None:
            raise NotFoundError("session", session)
        async with self._database.for_fleet("end a browser session") as fleet:
            if not await browser_sessions.end_session(fleet, session, user, self._clock.now()):
                raise NotFoundError("session", session)
        async with self._database.for_org(caller.org) as tx:
            await record(
                tx,
                self._clock,
                caller,
                "session.end",
                f"session:{session}",
                detail={"user": str(user)},
            )
        log.info("browser session ended", extra={"session": str(session), "by": caller.subject})

    async def _require(self, caller: Caller, user: UserId | None) -> Subject:
        """Return the person whose sessions are meant, if the caller may ask for them."""
        if user is None or (subject := subject_of_user(user)) == caller.subject:
            return caller.subject
        caller.require(Permission.MEMBER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            if await members.find_member(tx, user) is None:
                raise NotFoundError("member", user)
        return subject


def _of_program(live: LiveFamily) -> Session:
    family = live.family
    return Session(
        id=family.id,
        user=find_user_id(family.login.subject),
        client_id=family.client_id,
        browser="",
        peer="",
        created_at=live.created_at,
        used_at=live.used_at,
        expires_at=family.expires_at,
    )
