"""Logins that an org ends by the hundred end whatever process dies; another one finishes."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from controlplane.core.callers import Subject
from controlplane.core.credentials import EndedLogins
from controlplane.core.errors import NotAllowedError
from controlplane.core.identity_providers import Provider
from controlplane.core.oauth import Login
from controlplane.loops.login_revocations import LoginRevocationLoop
from controlplane.store.credentials import login_revocations as store
from controlplane.store.credentials.login_revocations import LoginRevocation
from controlplane.usecases.identity.login_revocations import PAGE, LoginRevocations
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.integration.people.world import World
from tests.servers.oidc_provider import OidcProviderForTests

ELSEWHERE = LoginRevocation(ORG, EndedLogins.OF_OTHER_PROVIDERS)
PERSON = Subject("user:6f0cdd5f-9ef3-4f2b-8b6e-3b1d5b4bfb0a")


@pytest.fixture
async def provider(world: World, server: OidcProviderForTests) -> Provider:
    await world.owner_link()
    return await world.add_provider(server)


async def start_logins(world: World, count: int, org: OrgName = ORG) -> None:
    async with world.database.for_fleet("start many logins") as fleet:
        await fleet.connection.execute(
            text("""
                INSERT INTO token_families (
                    family_id, org, subject, client_id, created_at, used_at, expires_at)
                SELECT gen_random_uuid(), :org, :subject, 'flyte', now(), now(), now() + '1 day'
                FROM generate_series(1, :count)
            """),
            {"org": org, "subject": PERSON, "count": count},
        )


async def live(world: World, org: OrgName = ORG) -> int:
    return len(await world.families.list_live(Login(org, PERSON)))


def loop_of(world: World) -> LoginRevocationLoop:
    revocations = LoginRevocations(world.database, world.clock)
    return LoginRevocationLoop(revocations, world.clock, every=timedelta(hours=1))


async def begin(world: World, which: LoginRevocation) -> None:
    """Commit what a decision commits, and die."""
    async with world.database.for_org(which.org) as tx:
        await store.begin(tx, which, world.clock.now())


async def unfinished(world: World) -> int:
    async with world.database.for_fleet("count") as fleet:
        query = text("SELECT count(*) FROM login_revocations")
        return int((await fleet.connection.execute(query)).scalar_one())


@pytest.mark.usefixtures("provider")
async def test_loop_revokes_logins_that_a_dead_process_left_and_none_of_another_org(
    world: World,
) -> None:
    other = OrgName("other")
    await world.owner_link(other)
    await start_logins(world, 2 * PAGE + 1)
    await start_logins(world, 1, other)
    await begin(world, ELSEWHERE)
    assert await loop_of(world).run_once() == 2 * PAGE + 1
    assert (await live(world), await live(world, other)) == (0, 1)
    assert await unfinished(world) == 0
    assert await loop_of(world).run_once() == 0


@pytest.mark.usefixtures("provider")
async def test_loop_leaves_a_revocation_to_the_process_that_has_it_and_finishes_others(
    world: World,
) -> None:
    other = OrgName("other")
    await world.owner_link(other)
    await begin(world, ELSEWHERE)
    await begin(world, LoginRevocation(other, EndedLogins.OF_OTHER_PROVIDERS))
    await start_logins(world, 1)
    await start_logins(world, 1, other)
    async with world.database.for_fleet("a page of another process") as fleet:
        assert await store.lock(fleet, ELSEWHERE, wait=True)
        assert await loop_of(world).run_once() == 1
    assert (await live(world), await unfinished(world)) == (1, 1)
    assert await loop_of(world).run_once() == 1


async def test_loop_logs_out_the_people_of_a_removed_provider_that_a_dead_process_left(
    world: World, provider: Provider
) -> None:
    user = UUID(PERSON.removeprefix("user:"))
    async with world.database.for_fleet("a login at the provider") as fleet:
        values = {"user": user, "provider": provider.id}
        await fleet.connection.execute(
            text("INSERT INTO users (user_id, created_at) VALUES (:user, now())"), {"user": user}
        )
        await fleet.connection.execute(
            text("""
                INSERT INTO provider_logins (
                    user_id, provider_id, org, checked_at, confirmed_at, seen_at)
                VALUES (:user, :provider, :org, now(), now(), now())
            """),
            {**values, "org": ORG},
        )
        await fleet.connection.execute(
            text("""
                INSERT INTO browser_sessions (
                    session_id, digest, user_id, provider_id, created_at, seen_at, expires_at)
                VALUES (gen_random_uuid(), 'x', :user, :provider, now(), now(), now() + '1 day')
            """),
            values,
        )
    await start_logins(world, 1)
    await begin(world, LoginRevocation(ORG, EndedLogins.OF_PROVIDER, provider.id))
    assert await loop_of(world).run_once() == 1
    assert (await live(world), await unfinished(world)) == (0, 0)
    async with world.database.for_fleet("count") as fleet:
        for table in ("browser_sessions", "provider_logins"):
            counted = text(f"SELECT count(*) FROM {table}")  # noqa: S608
            assert (await fleet.connection.execute(counted)).scalar_one() == 0


@pytest.mark.usefixtures("provider")
async def test_requirement_that_is_withdrawn_calls_its_revocation_off(world: World) -> None:
    await start_logins(world, 1)
    await begin(world, ELSEWHERE)
    await world.orgs.update(world.operator(), requires_own_provider=False)
    assert await loop_of(world).run_once() == 0
    assert await live(world) == 1


async def test_login_into_an_org_that_does_not_exist_is_refused(world: World) -> None:
    login = Login(OrgName("nowhere"), PERSON)
    with pytest.raises(NotAllowedError, match="org nowhere does not exist"):
        await world.families.start(uuid4(), login, "flyte")
    assert await world.families.list_live(login) == []
