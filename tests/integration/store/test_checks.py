"""Tests of the database checks: problems name the setting and the remedy."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from sqlalchemy import make_url

from controlplane.core.addresses import Addresses
from controlplane.core.errors import UnfitDatabaseError
from controlplane.store.checks import find_problems, require_fit
from tests.servers.postgres import DatabaseForTest, PostgresForTests


def addresses(orgs: str, *, fleet: str = "", direct: str = "") -> Addresses:
    return Addresses(orgs=orgs, fleet=fleet or orgs, direct=direct or orgs)


@dataclass(frozen=True, slots=True)
class Logins:
    """Creates logins that are members of given roles."""

    superuser: "asyncpg.Connection[asyncpg.Record]"
    url: str
    made: list[str]

    async def make(self, *roles: str) -> str:
        login = f"login_{secrets.token_hex(6)}"
        await self.superuser.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'a-test'")
        for role in roles:
            await self.superuser.execute(f"GRANT {role} TO {login}")
        self.made.append(login)
        url = make_url(self.url).set(username=login, password="a-test")  # noqa: S106
        return url.render_as_string(hide_password=False)


@pytest.fixture
async def logins(
    test_database: DatabaseForTest, postgres_server: PostgresForTests
) -> AsyncIterator[Logins]:
    superuser = await asyncpg.connect(postgres_server.superuser_url)
    logins = Logins(superuser, test_database.url, [])
    yield logins
    for login in logins.made:
        await superuser.execute(f"DROP ROLE {login}")
    await superuser.close()


async def test_check_of_a_fit_database_finds_no_problems(
    test_database: DatabaseForTest, logins: Logins
) -> None:
    assert await find_problems(addresses(test_database.url)) == []
    member_of_both = await logins.make("volary_app", "volary_fleet")
    assert await find_problems(addresses(member_of_both)) == []
    orgs, fleet = await logins.make("volary_app"), await logins.make("volary_fleet")
    assert await find_problems(addresses(orgs, fleet=fleet)) == []


async def test_check_names_a_missing_grant_with_its_statement(logins: Logins) -> None:
    url = await logins.make("volary_app")
    [problem] = await find_problems(addresses(url))
    [login] = logins.made
    assert problem.startswith(f"VOLARY_DATABASE_URL: user {login} may not take role volary_fleet;")
    statement = problem.partition("run: ")[2]
    with pytest.raises(UnfitDatabaseError, match="GRANT volary_fleet TO"):
        await require_fit(addresses(url))

    await logins.superuser.execute(statement)
    assert await find_problems(addresses(url)) == []


async def test_check_names_the_fleet_setting_where_it_is_wrong(logins: Logins) -> None:
    orgs, neither = await logins.make("volary_app"), await logins.make()
    [problem] = await find_problems(addresses(orgs, fleet=neither))
    assert problem.startswith("VOLARY_FLEET_DATABASE_URL: ")


async def test_check_names_missing_roles_before_the_first_migration(logins: Logins) -> None:
    url = await logins.make("volary_app", "volary_fleet")
    await logins.superuser.execute("ALTER ROLE volary_fleet RENAME TO volary_fleet_away")
    try:
        [problem] = await find_problems(addresses(url))
    finally:
        await logins.superuser.execute("ALTER ROLE volary_fleet_away RENAME TO volary_fleet")
    assert "no role volary_fleet; run `volary db upgrade` first" in problem


async def test_check_names_an_application_role_that_is_a_member_of_the_fleets(
    test_database: DatabaseForTest, logins: Logins
) -> None:
    """Every login of the application could take the fleet's role."""
    await logins.superuser.execute("GRANT volary_fleet TO volary_app")
    try:
        [problem] = await find_problems(addresses(test_database.url))
    finally:
        await logins.superuser.execute("REVOKE volary_fleet FROM volary_app")
    assert problem.endswith("run: REVOKE volary_fleet FROM volary_app")


async def test_check_names_an_unreachable_address_without_its_password() -> None:
    url = "postgresql://somebody:pa55word@127.0.0.1:1/nowhere"
    with pytest.raises(UnfitDatabaseError) as raised:
        await require_fit(addresses(url))
    reported = str(raised.value)
    assert reported.startswith("VOLARY_DATABASE_URL: cannot connect to 127.0.0.1:1/nowhere (")
    assert "pa55word" not in reported
    assert reported.count("cannot connect") == 1
    assert await find_problems(addresses(url)) == [reported]


async def test_check_names_a_direct_address_of_another_database(
    test_database: DatabaseForTest, empty_database: DatabaseForTest
) -> None:
    problems = await find_problems(addresses(test_database.url, direct=empty_database.url))
    [problem] = problems
    assert problem.startswith("VOLARY_DIRECT_DATABASE_URL: a notification")
    assert "the same database" in problem
