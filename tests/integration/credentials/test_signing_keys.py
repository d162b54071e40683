"""Replicas share signing keys: rotation overlaps, and a leaked key is withdrawn everywhere."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import pytest

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.sealing import Sealer
from controlplane.authn.signing_keys import (
    KEPT_AFTER,
    PUBLISHED_BEFORE,
    ROTATE_EVERY,
    TokenKeySet,
)
from controlplane.core.callers import Credential, Subject
from controlplane.core.errors import UnauthenticatedError, UnfitDatabaseError
from controlplane.store.database import Database
from controlplane.usecases.signing_keys import SigningKeys
from shared.kit.secrets import SecretBytes, SecretText
from tests.factories import ORG
from tests.fakes.clock import FakeClock

KEY, OTHER_KEY = SecretBytes(b"k" * 32), SecretBytes(b"o" * 32)


class Replica:
    def __init__(
        self, database: Database, clock: FakeClock, sealed_with: Sequence[SecretBytes] = (KEY,)
    ) -> None:
        self.clock = clock
        self.keys = TokenKeySet()
        self.tokens = AccessTokens(self.keys, clock, issuer="https://volary.example")
        self.signing = SigningKeys(
            database,
            Sealer(sealed_with),
            self.keys,
            clock,
            withdrawn=self.tokens.forget_verified,
        )

    @property
    def kids(self) -> list[str]:
        return [key["kid"] for key in self.keys.jwks(self.clock.now())["keys"]]

    def signs_with(self) -> str:
        return self.keys.current(self.clock.now()).kid

    def issue(self) -> SecretText:
        return self.tokens.issue(
            subject=Subject("user:1"),
            org=ORG,
            client_id="flyte",
            credential=Credential("login", "f1"),
        )


async def test_replicas_that_start_at_once_make_one_key(
    database: Database, clock: FakeClock
) -> None:
    replicas = [Replica(database, clock) for _ in range(5)]
    published = await asyncio.gather(*(replica.signing.refresh() for replica in replicas))
    assert any(published)
    assert len({tuple(replica.kids) for replica in replicas}) == 1
    assert len(replicas[0].kids) == 1
    token = replicas[0].issue()
    for replica in replicas:
        replica.tokens.verify(token)


async def test_successor_is_published_an_hour_before_it_signs(
    database: Database, clock: FakeClock
) -> None:
    first, second = Replica(database, clock), Replica(database, clock)
    await first.signing.refresh()
    old = first.signs_with()
    clock.advance(ROTATE_EVERY - PUBLISHED_BEFORE)
    assert await first.signing.refresh()
    assert not await second.signing.refresh()
    assert first.kids == second.kids
    assert len(first.kids) == 2
    assert first.signs_with() == second.signs_with() == old
    token = first.issue()

    clock.advance(PUBLISHED_BEFORE)
    assert first.signs_with() == second.signs_with() != old
    second.tokens.verify(first.issue())
    clock.advance(KEPT_AFTER - timedelta(seconds=1))
    assert old in second.kids
    with pytest.raises(UnauthenticatedError, match="expired"):
        second.tokens.verify(token)
    clock.advance(timedelta(seconds=1))
    await first.signing.refresh()
    assert first.kids == [first.signs_with()]


async def test_token_stays_valid_over_a_rotation(database: Database, clock: FakeClock) -> None:
    replica = Replica(database, clock)
    await replica.signing.refresh()
    clock.advance(ROTATE_EVERY - PUBLISHED_BEFORE)
    await replica.signing.refresh()
    clock.advance(PUBLISHED_BEFORE - timedelta(seconds=1))
    token = replica.issue()
    clock.advance(timedelta(minutes=15))
    await replica.signing.refresh()
    replica.tokens.verify(token)


async def test_leaked_key_is_withdrawn_from_every_replica(
    database: Database, clock: FakeClock
) -> None:
    first, second = Replica(database, clock), Replica(database, clock)
    await first.signing.refresh()
    await second.signing.refresh()
    token = first.issue()
    second.tokens.verify(token)
    kid = await first.signing.replace()
    await second.signing.refresh()
    for replica in (first, second):
        assert replica.kids == [kid]
        with pytest.raises(UnauthenticatedError, match="does not know"):
            replica.tokens.verify(token)
    second.tokens.verify(first.issue())


async def test_keys_sealed_with_another_key_stop_the_start(
    database: Database, clock: FakeClock
) -> None:
    await Replica(database, clock).signing.refresh()
    with pytest.raises(UnfitDatabaseError, match="add that key to VOLARY_SEALING_KEY"):
        await Replica(database, clock, [OTHER_KEY]).signing.refresh()


async def test_keys_are_sealed_again_when_the_installation_key_changes(
    database: Database, clock: FakeClock
) -> None:
    old = Replica(database, clock)
    await old.signing.refresh()
    both = Replica(database, clock, [OTHER_KEY, KEY])
    await both.signing.refresh()
    new = Replica(database, clock, [OTHER_KEY])
    await new.signing.refresh()
    assert new.kids == old.kids


async def test_private_key_is_not_stored_in_clear(
    database: Database, clock: FakeClock, owner_database_url: str
) -> None:
    replica = Replica(database, clock)
    await replica.signing.refresh()
    owner = await asyncpg.connect(owner_database_url)
    row = await owner.fetchrow("SELECT private_key, public_jwk FROM signing_keys")
    await owner.close()
    assert row is not None
    assert b"PRIVATE" not in row["private_key"]
    assert '"d"' not in row["public_jwk"]
