"""Service accounts and API keys: shown once, revoked at once, of no more power than their maker."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from controlplane.core.callers import Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
)
from controlplane.core.identity import NewBinding, PrincipalKind, ServiceAccount
from controlplane.core.lists import Listing
from controlplane.core.roles import ADMIN, CONTRIBUTOR, OWNER
from controlplane.store.credentials.revocations import list_revoked
from controlplane.usecases.identity import accounts
from shared.kit.secrets import SecretText
from tests.factories import NOW, ORG
from tests.integration.identity.conftest import World


async def bind(world: World, account: ServiceAccount, role: str, project: str = "") -> None:
    bound = NewBinding(
        kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(account.id), role=role, project=project
    )
    await world.roles.bind(world.owner, bound)


async def test_api_key_speaks_for_its_account_until_it_is_revoked(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    await bind(world, account, CONTRIBUTOR, "p")
    made = await world.accounts.create_key(world.owner, account.id, "laptop")
    assert made.secret is not None

    owner = await world.keys.check(made.key.client_id, made.secret)
    assert owner is not None
    assert (owner.org, owner.subject) == (ORG, f"serviceaccount:{account.id}")
    assert (owner.credential.kind, owner.credential.id) == ("api_key", str(made.key.id))
    caller = await world.callers(owner.org, owner.subject)
    assert caller.may(Permission.RUN_CREATE, "p")
    assert not caller.may(Permission.RUN_CREATE, "q")

    revoked = await world.accounts.revoke_key(world.owner, made.key.id)
    again = await world.accounts.revoke_key(world.owner, made.key.id)
    assert revoked == again
    assert await world.keys.check(made.key.client_id, made.secret) is None
    async with world.database.for_fleet("read revocations") as tx:
        listed = await list_revoked(tx, NOW - timedelta(days=1))
    assert [(each.kind, each.id) for each in listed] == [("api_key", str(made.key.id))]


async def test_secret_of_a_key_is_stored_nowhere_and_not_given_again(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    made = await world.accounts.create_key(world.owner, account.id, request_id="k-1")
    again = await world.accounts.create_key(world.owner, account.id, request_id="k-1")
    assert made.secret is not None
    assert (again.key, again.secret) == (made.key, None)
    async with world.database.for_fleet("search for the secret") as tx:
        for table in ("api_keys", "idempotent_requests", "audit_log"):
            query = text(f"SELECT count(*) FROM {table} t WHERE t::text LIKE :secret")  # noqa: S608
            found = await tx.connection.execute(query, {"secret": f"%{made.secret.reveal()}%"})
            assert found.scalar_one() == 0


@pytest.mark.parametrize(
    "client_id", ["", "ak-", "ak-xyz", "ak-\0", "ak-0123456789abcdef0123456789abcdef", "volary-cli"]
)
async def test_key_that_does_not_exist_is_refused(world: World, client_id: str) -> None:
    assert await world.keys.check(client_id, SecretText("x" * 43)) is None


async def test_key_with_another_secret_is_refused(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    made = await world.accounts.create_key(world.owner, account.id)
    assert await world.keys.check(made.key.client_id, SecretText("x" * 43)) is None


async def test_key_ends_at_its_time(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    end = world.clock.now() + timedelta(hours=1)
    made = await world.accounts.create_key(world.owner, account.id, expires_at=end)
    assert made.secret is not None
    owner = await world.keys.check(made.key.client_id, made.secret)
    assert owner is not None
    assert owner.credential.expires_at == end
    world.clock.advance(timedelta(hours=1))
    assert await world.keys.check(made.key.client_id, made.secret) is None
    with pytest.raises(InvalidError, match="expires_at: lies in the past"):
        await world.accounts.create_key(world.owner, account.id, expires_at=NOW)


async def test_keys_of_a_disabled_account_are_refused_until_it_is_enabled(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    made = await world.accounts.create_key(world.owner, account.id)
    assert made.secret is not None
    disabled = await world.accounts.update(world.owner, account.id, disabled=True, version=1)
    assert disabled.version == 2
    assert await world.keys.check(made.key.client_id, made.secret) is None
    with pytest.raises(NotReadyError, match="is disabled; enable it first"):
        await world.accounts.create_key(world.owner, account.id)
    with pytest.raises(ConflictError, match="is at version 2, not 1"):
        await world.accounts.update(world.owner, account.id, disabled=False, version=1)
    await world.accounts.update(world.owner, account.id, disabled=False)
    assert await world.keys.check(made.key.client_id, made.secret) is not None


async def test_deleted_account_takes_its_keys_and_bindings_with_it(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    await bind(world, account, CONTRIBUTOR)
    made = await world.accounts.create_key(world.owner, account.id)
    assert made.secret is not None
    await world.accounts.delete(world.owner, account.id)
    assert await world.keys.check(made.key.client_id, made.secret) is None
    with pytest.raises(NotFoundError, match="service account"):
        await world.accounts.get(world.owner, account.id)
    assert (await world.roles.list_bindings(world.owner, Listing()))[0] == []


async def test_admin_cannot_act_as_an_account_of_an_owner(world: World) -> None:
    admin = await world.join("admin", ADMIN)
    account = await world.accounts.create(world.owner, "powerful")
    await bind(world, account, OWNER)
    key = (await world.accounts.create_key(world.owner, account.id)).key
    for attempt in (
        world.accounts.create_key(admin, account.id),
        world.accounts.revoke_key(admin, key.id),
        world.accounts.update(admin, account.id, disabled=True),
        world.accounts.delete(admin, account.id),
    ):
        with pytest.raises(NotAllowedError, match="lacks identity_provider:write, org:write"):
            await attempt


async def test_service_account_is_created_once_for_a_request_id(world: World) -> None:
    made = await asyncio.gather(
        *(world.accounts.create(world.owner, "ci", request_id="a-1") for _ in range(3))
    )
    assert len({each.id for each in made}) == 1
    with pytest.raises(AlreadyExistsError, match="service account ci exists"):
        await world.accounts.create(world.owner, "ci")
    world.clock.advance(timedelta(hours=25))  # request ids are kept for a day
    with pytest.raises(AlreadyExistsError, match="service account ci exists"):
        await world.accounts.create(world.owner, "ci", request_id="a-1")


async def test_uses_of_keys_are_saved_together(world: World) -> None:
    account = await world.accounts.create(world.owner, "ci")
    made = [await world.accounts.create_key(world.owner, account.id) for _ in range(2)]
    for each in made:
        assert each.secret is not None
        await world.keys.check(each.key.client_id, each.secret)
    before, _ = await world.accounts.list_keys(world.owner, Listing())
    assert {each.last_used_at for each in before} == {None}
    assert await world.keys.save_uses() == 2
    assert await world.keys.save_uses() == 0
    after, _ = await world.accounts.list_keys(world.owner, Listing())
    assert {each.last_used_at for each in after} == {world.clock.now()}


async def test_keys_that_ended_a_week_ago_leave_room_for_new_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MAX_API_KEYS", 3)
    account = await world.accounts.create(world.owner, "ci")
    kept = await world.accounts.create_key(world.owner, account.id, "kept")
    revoked = await world.accounts.create_key(world.owner, account.id, "revoked")
    await world.accounts.create_key(
        world.owner, account.id, "short", expires_at=NOW + timedelta(hours=1)
    )
    await world.accounts.revoke_key(world.owner, revoked.key.id)
    world.clock.advance(timedelta(days=7))
    with pytest.raises(ExhaustedError, match="revoke keys"):
        await world.accounts.create_key(world.owner, account.id, "too early")
    world.clock.advance(timedelta(hours=2))
    new = await world.accounts.create_key(world.owner, account.id, "new")
    listed, _ = await world.accounts.list_keys(world.owner, Listing(limit=10))
    assert [key.id for key in listed] == [kept.key.id, new.key.id]
