"""Use cases of logins: the user of an account at an identity provider, and their groups."""

from collections.abc import Sequence

from controlplane.core.identity import User, UserId
from controlplane.store.database import Database
from controlplane.store.identity import members, users
from controlplane.store.notify.changes import notify_grants
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.invitations import as_caller, require_space
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName


class Users:
    """Use cases of logins: the user of an account at an identity provider."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def log_in(
        self, issuer: str, subject: str, *, email: str, email_verified: bool, name: str
    ) -> User:
        """Return the user who has this account, a new one at the first login."""
        now = self._clock.now()
        user = User(id=UserId(new_uuid(now)), email=email, email_verified=email_verified, name=name)
        async with self._database.for_fleet("find the user of a login") as fleet:
            found = await users.save_login(fleet, issuer, subject, user, now)
        return User(id=found, email=email, email_verified=email_verified, name=name)

    async def find(self, user: UserId) -> User | None:
        async with self._database.for_fleet("find a user") as fleet:
            return await users.find_user(fleet, user)

    async def save_groups(
        self,
        org: OrgName,
        user: User,
        groups: Sequence[str] | None,
        *,
        join: bool,
        role: str = "",
    ) -> bool:
        """
        Save what a provider of the org says of a user at a login or refresh.

        Return whether they are a member. ``join``: make them one, with ``role``. A removed group
        takes effect at the next call: replicas read the grants again. Without a change nothing is
        notified, so that a person's streams go on.
        """
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            member = await members.find_member(tx, user.id, lock=True)
            if member is not None:
                await members.save_seen(tx, user, groups, now)
                if groups is not None and set(groups) != set(member.groups):
                    await notify_grants(tx, [user.subject])
                return True
            if not join:
                return False
            await require_space(tx)
            await members.add_member(
                tx, user, role, source="provider", now=now, groups=groups or ()
            )
            await record(
                tx,
                self._clock,
                as_caller(user, org, ""),
                "member.join",
                f"user:{user.id}",
                detail={"by": "identity provider", "role": role},
            )
            return True
