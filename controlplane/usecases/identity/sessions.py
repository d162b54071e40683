"""
Use cases of sessions: the logins of people by the SDK and command lines, in one org.

A person lists and ends their own; administrators do so for members that they outrank.
"""

from collections.abc import Sequence
from uuid import UUID

from controlplane.core.callers import Caller, Permission, Subject
from controlplane.core.errors import NotFoundError
from controlplane.core.identity import UserId, subject_of_user
from controlplane.core.oauth import LiveFamily, Login
from controlplane.store.database import Database
from controlplane.store.identity import members
from controlplane.usecases.identity.roles import require_all_of
from controlplane.usecases.token_families import TokenFamilies


class Sessions:
    def __init__(self, database: Database, families: TokenFamilies) -> None:
        self._database = database
        self._families = families

    async def list(self, caller: Caller, user: UserId | None = None) -> Sequence[LiveFamily]:
        """List the sessions of the caller or of a member, newest first. NotFoundError."""
        subject = await self._require(caller, user)
        return await self._families.list_live(Login(caller.org, subject))

    async def revoke(self, caller: Caller, session: UUID, user: UserId | None = None) -> None:
        """End a session of the caller or of a member. NotFoundError, NotAllowedError."""
        subject = await self._require(caller, user)
        if subject != caller.subject:
            async with self._database.for_org(caller.org) as tx:
                await require_all_of(tx, caller, subject)
        await self._families.revoke_own(Login(caller.org, subject), session, by=caller)

    async def _require(self, caller: Caller, user: UserId | None) -> Subject:
        """Return the person whose sessions are meant, if the caller may ask for them."""
        if user is None or (subject := subject_of_user(user)) == caller.subject:
            return caller.subject
        caller.require(Permission.MEMBER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            if await members.find_member(tx, user) is None:
                raise NotFoundError("member", user)
        return subject
