"""Refresh tokens are replaced at each use; a stolen one ends the login, a repeated one does not."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from controlplane.authn.refresh_tokens import PREFIX
from controlplane.core.callers import Subject
from controlplane.core.errors import NotFoundError
from controlplane.core.oauth import GRACE, LOGIN_LIVES, REFRESH_TOKEN_LIVES, Login
from controlplane.loops.expired_credentials import ExpiredCredentials
from controlplane.store.credentials.revocations import list_revoked
from controlplane.store.database import Database
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName
from tests.factories import NOW, ORG
from tests.fakes.clock import FakeClock
from tests.integration.credentials.conftest import add_org

ADA = Login(ORG, Subject("user:ada"))
SECOND = timedelta(seconds=1)


@pytest.fixture
async def families(database: Database, clock: FakeClock) -> TokenFamilies:
    await add_org(database)
    return TokenFamilies(database, clock)


async def start(families: TokenFamilies, login: Login = ADA) -> tuple[UUID, SecretText]:
    started = await families.start(uuid4(), login, "flyte")
    return started.family.id, started.refresh_token


async def refresh(families: TokenFamilies, token: SecretText) -> SecretText | None:
    refreshed = await families.refresh(token, "flyte")
    return None if refreshed is None else refreshed.refresh_token


async def revoked_ids(database: Database) -> list[str]:
    async with database.for_fleet("test") as tx:
        return [each.id for each in await list_revoked(tx, NOW - timedelta(days=1))]


async def test_refresh_token_is_replaced_by_another(families: TokenFamilies) -> None:
    family, first = await start(families)
    refreshed = await families.refresh(first, "flyte")
    assert refreshed is not None
    assert refreshed.family.id == family
    assert refreshed.family.login == ADA
    assert refreshed.refresh_token.reveal().startswith(PREFIX)
    assert refreshed.refresh_token != first
    assert await refresh(families, refreshed.refresh_token)


async def test_replaced_token_gives_the_same_successor_for_a_moment(
    families: TokenFamilies, clock: FakeClock
) -> None:
    _, first = await start(families)
    second = await refresh(families, first)
    clock.advance(GRACE)
    assert await refresh(families, first) == second
    assert second is not None
    third = await refresh(families, second)
    assert await refresh(families, second) == third


async def test_concurrent_refreshes_get_one_successor(families: TokenFamilies) -> None:
    _, first = await start(families)
    successors = await asyncio.gather(*(refresh(families, first) for _ in range(5)))
    assert None not in successors
    assert len(set(successors)) == 1


async def test_reused_token_revokes_its_family(
    families: TokenFamilies, clock: FakeClock, database: Database
) -> None:
    family, first = await start(families)
    _, other = await start(families)
    second = await refresh(families, first)
    assert second is not None
    clock.advance(GRACE + SECOND)
    assert await refresh(families, first) is None
    assert await refresh(families, second) is None
    assert await revoked_ids(database) == [str(family)]
    assert await refresh(families, other) is not None


async def test_token_of_another_client_is_refused_and_stays_valid(
    families: TokenFamilies,
) -> None:
    _, token = await start(families)
    assert await families.refresh(token, "volary") is None
    assert await refresh(families, token) is not None


async def test_unknown_token_is_refused(families: TokenFamilies) -> None:
    assert await refresh(families, SecretText("")) is None
    assert await refresh(families, SecretText("volary_refresh_unknown")) is None


async def test_unused_token_expires(families: TokenFamilies, clock: FakeClock) -> None:
    _, token = await start(families)
    clock.advance(REFRESH_TOKEN_LIVES)
    assert await refresh(families, token) is None


async def test_login_ends_after_its_longest_life_however_it_is_used(
    families: TokenFamilies, clock: FakeClock
) -> None:
    _, token = await start(families)
    step = timedelta(days=10)
    for _ in range(LOGIN_LIVES // step - 1):
        clock.advance(step)
        successor = await refresh(families, token)
        assert successor is not None
        token = successor
    clock.advance(step)
    assert await refresh(families, token) is None


async def test_revoked_login_is_refused_everywhere(
    families: TokenFamilies, database: Database
) -> None:
    family, token = await start(families)
    assert await families.revoke(family, "a test")
    assert not await families.revoke(family, "a test")
    assert await refresh(families, token) is None
    assert await revoked_ids(database) == [str(family)]


async def test_person_lists_and_ends_only_their_own_logins(
    families: TokenFamilies, database: Database
) -> None:
    await add_org(database, OrgName("other"))
    family, _ = await start(families)
    bob, token = await start(families, Login(ORG, Subject("user:bob")))
    await start(families, Login(OrgName("other"), ADA.subject))
    assert [live.family.id for live in await families.list_live(ADA)] == [family]
    with pytest.raises(NotFoundError):
        await families.revoke_own(ADA, bob)
    await families.revoke_own(ADA, family)
    assert await families.list_live(ADA) == []
    assert await refresh(families, token) is not None


async def test_login_and_its_end_are_in_the_audit_log(
    families: TokenFamilies, clock: FakeClock, owner_database_url: str
) -> None:
    started = await families.start(uuid4(), ADA, "flyte", peer="192.0.2.1")
    await families.refresh(started.refresh_token, "flyte")
    clock.advance(GRACE + SECOND)
    await families.refresh(started.refresh_token, "flyte", peer="192.0.2.66")
    owner = await asyncpg.connect(owner_database_url)
    rows = await owner.fetch(
        "SELECT org, actor, action, target, peer FROM audit_log ORDER BY number"
    )
    await owner.close()
    target = f"login:{started.family.id}"
    assert [tuple(row) for row in rows] == [
        (ORG, ADA.subject, "login.start", target, "192.0.2.1"),
        (ORG, ADA.subject, "login.revoke", target, "192.0.2.66"),
    ]


async def test_tokens_are_not_stored_in_clear(
    families: TokenFamilies, owner_database_url: str
) -> None:
    _, first = await start(families)
    second = await refresh(families, first)
    assert second is not None
    owner = await asyncpg.connect(owner_database_url)
    rows = str([tuple(row) for row in await owner.fetch("SELECT * FROM refresh_tokens")])
    await owner.close()
    assert first.reveal() not in rows
    assert second.reveal() not in rows


async def test_expired_rows_are_deleted_and_valid_ones_stay(
    families: TokenFamilies, database: Database, clock: FakeClock, owner_database_url: str
) -> None:
    loop = ExpiredCredentials(database, clock, every=timedelta(hours=1))
    _, first = await start(families)
    second = await refresh(families, first)
    assert second is not None
    assert await loop.run_once() == 0
    clock.advance(GRACE + SECOND)
    assert await loop.run_once() == 1  # the sealed successor, whose grace is over
    clock.advance(timedelta(days=8))
    assert await loop.run_once() == 1  # the replaced token
    assert await refresh(families, first) is None
    assert await refresh(families, second) is not None  # its family was not revoked
    clock.advance(LOGIN_LIVES)
    await loop.run_once()
    owner = await asyncpg.connect(owner_database_url)
    for table in ("token_families", "refresh_tokens"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
    await owner.close()


async def test_expired_rows_are_deleted_beyond_a_page(
    families: TokenFamilies, database: Database, clock: FakeClock
) -> None:
    for _ in range(45):
        await start(families)
    clock.advance(LOGIN_LIVES + SECOND)
    loops = [ExpiredCredentials(database, clock, every=timedelta(hours=1)) for _ in range(2)]
    assert sum(await asyncio.gather(*(loop.run_once() for loop in loops))) == 45
