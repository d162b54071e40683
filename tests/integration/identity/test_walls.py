"""
Row-level security holds without the statements' own org predicates.

The predicates are deleted from every statement as it is sent to Postgres; what an org sees and
changes must stay the same.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import event, text

from controlplane.authn.agent_authority import AuthoritySet
from controlplane.authn.sealing import Sealer
from controlplane.core.callers import Caller
from controlplane.core.identity import NewBinding, NewInvitation, PrincipalKind
from controlplane.core.identity_providers import ProviderSettings
from controlplane.core.lists import Listing
from controlplane.core.roles import CONTRIBUTOR, VIEWER
from controlplane.core.runs import RunScope
from controlplane.core.tasks import TaskScope
from controlplane.store.agents import certificates
from controlplane.store.resources import lists, projects, tasks
from controlplane.usecases.agents.enrolment import Enrolments
from controlplane.usecases.identity.providers import IdentityProviders
from shared.kit.secrets import SecretBytes
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.integration.identity.conftest import World, user_of
from tests.servers.postgres import DatabaseForTest

THEIRS = OrgName("theirs")
ALL = Listing(limit=200)

_PREDICATE = re.compile(r"\b(?:\w+\.)?org = (\$\d+)(?:::\w+)?")


class Predicates:
    """Deletes the org predicates of the statements of an engine, and counts them."""

    def __init__(self) -> None:
        self.deleted = 0

    def delete(
        self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any
    ) -> tuple[str, Any]:
        without, count = _PREDICATE.subn(r"(\1::text IS NOT NULL)", statement)
        self.deleted += count
        return without, parameters


@pytest.fixture
async def bob(world: World) -> Caller:
    """A user who is a viewer of one org and owns another one, with the same things in both."""
    bob = await world.join("bob", VIEWER)
    await world.orgs.create(bob, THEIRS)
    theirs = await world.callers(THEIRS, bob.subject)
    for caller in (world.owner, theirs):
        account = await world.accounts.create(caller, f"ci of {caller.org}")
        await world.accounts.create_key(caller, account.id, f"key of {caller.org}")
        await world.roles.create(caller, "runner", ["run:read"], f"of {caller.org}")
        await world.invitations.create(caller, NewInvitation(role=CONTRIBUTOR))
        bound = NewBinding(kind=PrincipalKind.USER, principal=str(user_of(bob)), role="runner")
        await world.roles.bind(caller, bound)
        await enrolments_of(world).create_cluster(caller, "c1")
        settings = ProviderSettings(
            name=f"login of {caller.org}", issuer="https://provider.example", client_id="volary"
        )
        await providers_of(world).create(caller, settings)
    return theirs


def providers_of(world: World) -> IdentityProviders:
    return IdentityProviders(world.database, Sealer([SecretBytes(b"k" * 32)]), world.clock)


def enrolments_of(world: World) -> Enrolments:
    return Enrolments(world.database, world.clock, AuthoritySet())


def reads(world: World, caller: Caller) -> Mapping[str, Callable[[], Awaitable[Any]]]:
    async def of_store(query: Callable[[Any], Awaitable[Any]]) -> Any:
        async with world.database.for_org(caller.org) as tx:
            return await query(tx)

    return {
        "grants": lambda: world.callers(caller.org, caller.subject),
        "org": lambda: world.orgs.get(caller),
        "members": lambda: world.members.list(caller, ALL),
        "roles": lambda: world.roles.list(caller),
        "bindings": lambda: world.roles.list_bindings(caller, ALL),
        "accounts": lambda: world.accounts.list(caller, ALL),
        "keys": lambda: world.accounts.list_keys(caller, ALL),
        "invitations": lambda: world.invitations.list(caller, ALL),
        "enrolments": lambda: enrolments_of(world).list(caller),
        "certificates": lambda: of_store(lambda tx: certificates.list_certificates(tx, uuid4())),
        "providers": lambda: providers_of(world).list(caller),
        "audit log": lambda: world.audit.list(caller, ALL),
        "chain": lambda: world.audit.verify(caller),
        "projects": lambda: of_store(
            lambda tx: projects.list_projects(tx, ALL, hide_archived=False, scopes=None)
        ),
        "runs": lambda: of_store(lambda tx: lists.list_runs(tx, RunScope(), ALL)),
        "tasks": lambda: of_store(lambda tx: tasks.list_tasks(tx, TaskScope(), ALL)),
    }


@contextmanager
def without_predicates(world: World) -> Iterator[Predicates]:
    predicates = Predicates()
    engine = world.database._orgs.sync_engine
    event.listen(engine, "before_cursor_execute", predicates.delete, retval=True)
    try:
        yield predicates
    finally:
        event.remove(engine, "before_cursor_execute", predicates.delete)


async def test_org_sees_the_same_when_the_org_predicates_are_deleted(
    world: World, bob: Caller
) -> None:
    for caller in (world.owner, bob):
        whole = {name: await read() for name, read in reads(world, caller).items()}
        with without_predicates(world) as predicates:
            for name, read in reads(world, caller).items():
                before = predicates.deleted
                assert await read() == whole[name], name
                assert predicates.deleted > before, f"{name} has no org predicate to delete"


async def test_org_changes_only_its_own_rows_when_the_org_predicates_are_deleted(
    world: World, bob: Caller
) -> None:
    theirs = {name: await read() for name, read in reads(world, bob).items()}
    with without_predicates(world) as predicates:
        await world.orgs.update(world.owner, display_name="Renamed")
        await world.roles.update(world.owner, "runner", permissions=["task:read"])
        await world.members.remove(world.owner, user_of(bob))
        await enrolments_of(world).revoke(world.owner, "c1")
        async with world.database.for_org(ORG) as tx:
            for table in (
                "api_keys",
                "identity_providers",
                "invitations",
                "role_bindings",
                "service_accounts",
            ):
                await tx.connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    assert predicates.deleted > 10
    assert {name: await read() for name, read in reads(world, bob).items()} == theirs


async def test_deleted_predicates_show_another_org_where_row_level_security_is_off(
    world: World, bob: Caller, test_database: DatabaseForTest
) -> None:
    """Shows that the tests above would fail."""
    owner = await asyncpg.connect(test_database.owner_url)
    await owner.execute("ALTER TABLE service_accounts DISABLE ROW LEVEL SECURITY")
    await owner.close()
    with without_predicates(world):
        seen, _ = await world.accounts.list(world.owner, ALL)
    assert {each.name for each in seen} == {f"ci of {ORG}", f"ci of {bob.org}"}
