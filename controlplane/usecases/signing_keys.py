"""Keeps the keys that sign access tokens: reads them into memory, and replaces them in time."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from controlplane.authn.sealing import Sealer, SealError
from controlplane.authn.signing_keys import (
    ALGORITHM,
    KEPT_AFTER,
    PUBLISHED_BEFORE,
    TokenKey,
    TokenKeySet,
    dump_key,
    is_due,
    load_key,
    make_key,
)
from controlplane.core.errors import UnfitDatabaseError
from controlplane.store.credentials import signing_keys as store
from controlplane.store.credentials.signing_keys import StoredKey
from controlplane.store.database import Database, FleetTx
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes

log = logging.getLogger(__name__)

_PURPOSE = "token signing key"


class SigningKeys:
    """
    Fills ``keys`` from the database; every replica does so, and computes the same rotation.

    ``withdrawn`` is called when a key is gone, so that tokens that it verified are checked again.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        keys: TokenKeySet,
        clock: Clock,
        *,
        withdrawn: Callable[[], None],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._keys = keys
        self._clock = clock
        self._withdrawn = withdrawn

    async def refresh(self) -> bool:
        """
        Read the keys, and publish a successor if one is due; return whether one was published.

        UnfitDatabaseError: the installation's key does not open them.
        """
        now = self._clock.now()
        async with self._database.for_fleet("read signing keys") as tx:
            stored = await store.list_keys(tx, now)
            keys = await self._load(tx, stored)
        added = is_due(keys, now)
        if added:
            keys = await self._publish(now)
        self._use(keys)
        return added

    async def replace(self) -> str:
        """
        Sign with a new key from now on, and refuse what all others have signed; return its id.

        For a key that leaked: every client gets a new access token by its refresh token.
        """
        now = self._clock.now()
        key = make_key(now)
        async with self._database.for_fleet("replace the signing keys") as tx:
            await store.lock_keys(tx)
            await self._insert(tx, key, now)
            await store.withdraw_others(tx, key.kid, now)
        log.warning("signing keys replaced", extra={"kid": key.kid})
        self._use([key])
        return key.kid

    async def _publish(self, now: datetime) -> Sequence[TokenKey]:
        """Add the first key or a successor, unless another replica has done so; return all keys."""
        async with self._database.for_fleet("publish a signing key") as tx:
            await store.lock_keys(tx)
            keys = await self._load(tx, await store.list_keys(tx, now))
            if is_due(keys, now):
                key = make_key(now + PUBLISHED_BEFORE if keys else now)
                await self._insert(tx, key, now)
                log.info(
                    "signing key published",
                    extra={"kid": key.kid, "active_from": key.active_from.isoformat()},
                )
                keys = await self._load(tx, await store.list_keys(tx, now))
        return keys

    async def _insert(self, tx: FleetTx, key: TokenKey, now: datetime) -> None:
        sealed = self._sealer.seal(SecretBytes(dump_key(key)), _PURPOSE)
        await store.insert_key(
            tx,
            StoredKey(key.kid, sealed, key.active_from, None),
            algorithm=ALGORITHM,
            public_jwk=key.public,
            others_expire_at=key.active_from + KEPT_AFTER,
            now=now,
        )

    async def _load(self, tx: FleetTx, stored: Sequence[StoredKey]) -> Sequence[TokenKey]:
        """Open the keys; seal those again that an older installation key has sealed."""
        keys: list[TokenKey] = []
        for each in stored:
            try:
                private_key = self._sealer.open(each.private_key, _PURPOSE)
            except SealError as error:
                raise UnfitDatabaseError(str(error)) from error
            if not self._sealer.is_current(each.private_key):
                sealed = self._sealer.seal(private_key, _PURPOSE)
                await store.seal_again(tx, each.kid, each.private_key, sealed)
            keys.append(load_key(private_key.reveal(), each.active_from, each.expires_at))
        return keys

    def _use(self, keys: Sequence[TokenKey]) -> None:
        if self._keys.replace(keys):
            self._withdrawn()
