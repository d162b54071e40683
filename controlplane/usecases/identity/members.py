"""Use cases of members: list them, change their role, remove them."""

import logging
from collections.abc import Sequence

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import ConflictError, NotFoundError
from controlplane.core.identity import (
    Member,
    UserId,
    find_user_id,
    require_version,
    subject_of_user,
)
from controlplane.core.lists import Listing
from controlplane.core.roles import OWNER
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import members as store
from controlplane.store.notify.changes import notify_grants
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.roles import find_permissions, require_all_of
from shared.kit.clock import Clock

log = logging.getLogger(__name__)


class Members:
    """Use cases of members; an org keeps an owner, and callers take away only what they hold."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, listing: Listing) -> tuple[Sequence[Member], str]:
        """List the org's members, and return the token of the next page."""
        caller.require(Permission.MEMBER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_members(tx, listing)

    async def get(self, caller: Caller, user: UserId) -> Member:
        """Return a member; NotFoundError."""
        caller.require(Permission.MEMBER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, user)

    async def set_role(
        self, caller: Caller, user: UserId, role: str, version: int | None = None
    ) -> Member:
        """
        Change a member's role in the whole org; "" leaves their role bindings only.

        NotFoundError (member, role), NotAllowedError, ConflictError (the last owner; a stale
        ``version``).
        """
        caller.require(Permission.MEMBER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            owners = await store.lock_owners(tx)
            member = await _get(tx, user, lock=True)
            require_version(f"member {user}", member.version, version)
            await require_all_of(tx, caller, subject_of_user(user))
            caller.require_all(await find_permissions(tx, role))
            if role != OWNER:
                _require_other_owner(owners, user)
            if role != member.role:
                await store.set_role(tx, user, role)
                detail = {"from": member.role, "to": role}
                await notify_grants(tx, [subject_of_user(user)])
                await record(
                    tx, self._clock, caller, "member.set_role", f"user:{user}", detail=detail
                )
            changed = await _get(tx, user)
        log.info("member's role set", extra={"user": str(user), "by": caller.subject})
        return changed

    async def remove(self, caller: Caller, user: UserId) -> None:
        """
        Remove a member with their role bindings; members may remove themselves.

        NotFoundError, NotAllowedError, ConflictError (the last owner).
        """
        leaves = find_user_id(caller.subject) == user
        if not leaves:
            caller.require(Permission.MEMBER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            owners = await store.lock_owners(tx)
            member = await _get(tx, user, lock=True)
            if not leaves:
                await require_all_of(tx, caller, subject_of_user(user))
            _require_other_owner(owners, user)
            await store.remove_member(tx, user)
            await notify_grants(tx, [subject_of_user(user)])
            await record(
                tx,
                self._clock,
                caller,
                "member.remove",
                f"user:{user}",
                detail={"role": member.role},
            )
        log.info("member removed", extra={"user": str(user), "by": caller.subject})


async def _get(tx: OrgTx, user: UserId, *, lock: bool = False) -> Member:
    member = await store.find_member(tx, user, lock=lock)
    if member is None:
        raise NotFoundError("member", user)
    return member


def _require_other_owner(owners: Sequence[UserId], user: UserId) -> None:
    if list(owners) == [user]:
        raise ConflictError(
            f"member {user} is the last owner of the org; make another member its owner first"
        )
