"""An org with an owner, on a migrated database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Permission, Subject, org_wide
from controlplane.core.identity import User, UserId
from controlplane.core.lists import Listing
from controlplane.core.projects import Project
from controlplane.store.database import Database, open_database
from controlplane.store.identity import members
from controlplane.store.resources.projects import create_project
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.audit import Audit
from controlplane.usecases.identity.callers import ApiKeyChecks, Callers
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.members import Members
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.roles import Roles
from controlplane.usecases.identity.users import Users
from shared.model.ids import OrgName, ProjectName
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock


@dataclass(frozen=True, slots=True)
class World:
    """The use cases of identity, with an org that ``owner`` has created."""

    database: Database
    clock: FakeClock
    orgs: Orgs
    members: Members
    roles: Roles
    accounts: ServiceAccounts
    keys: ApiKeyChecks
    invitations: Invitations
    users: Users
    audit: Audit
    callers: Callers
    owner: Caller

    async def log_in(self, name: str, *, email: str = "", verified: bool = True) -> User:
        address = email or f"{name}@example.com"
        return await self.users.log_in(
            "https://provider", name, email=address, email_verified=verified, name=name
        )

    async def join(self, name: str, role: str) -> Caller:
        """Log a user in, make them a member, and return them as a caller with their grants."""
        user = await self.log_in(name)
        async with self.database.for_org(ORG) as tx:
            await members.add_member(tx, user, role, source="test", now=self.clock.now())
        return await self.callers(ORG, user.subject)

    async def audited(self) -> list[str]:
        """Return the audited actions, oldest first."""
        page = await self.audit.list(self.owner, Listing(limit=200))
        return [record.event.action for record in reversed(page.rows)]


def user_of(caller: Caller) -> UserId:
    from controlplane.core.identity import find_user_id  # noqa: PLC0415

    found = find_user_id(caller.subject)
    assert found is not None
    return found


def caller_with(*permissions: Permission, org: OrgName = ORG) -> Caller:
    return Caller(
        subject=Subject("user:00000000-0000-0000-0000-000000000000"),
        org=org,
        name="Someone",
        grants=org_wide(permissions),
    )


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    database = open_database(database_url, pool_size=4)
    clock = FakeClock(NOW)
    orgs, users, callers = (
        Orgs(database, clock, self_service=True),
        Users(database, clock),
        Callers(database),
    )
    ada = await users.log_in(
        "https://provider", "ada", email="ada@acme.example", email_verified=True, name="Ada"
    )
    signed_in = Caller(
        subject=ada.subject, org=OrgName(""), name="Ada", grants=org_wide(EVERYTHING)
    )
    await orgs.create(signed_in, ORG, "Acme")
    async with database.for_org(ORG) as tx:
        for name in ("p", "q"):
            await create_project(tx, Project(id=ProjectName(name), name=name), now=NOW)
    yield World(
        database=database,
        clock=clock,
        orgs=orgs,
        members=Members(database, clock),
        roles=Roles(database, clock),
        accounts=ServiceAccounts(database, clock),
        keys=ApiKeyChecks(database, clock),
        invitations=Invitations(database, clock),
        users=users,
        audit=Audit(database),
        callers=callers,
        owner=await callers(ORG, ada.subject),
    )
    await database.close()
