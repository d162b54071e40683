"""Keeps the authorities that sign agents' certificates: reads them, and replaces them in time."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from controlplane.authn.agent_authority import (
    PUBLISHED_BEFORE,
    Authority,
    AuthoritySet,
    dump_key,
    is_due,
    load_authority,
    make_authority,
)
from controlplane.authn.sealing import Sealer, SealError
from controlplane.core.errors import UnfitDatabaseError
from controlplane.store.agents import authorities as store
from controlplane.store.agents.authorities import StoredAuthority
from controlplane.store.database import Database, FleetTx
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes
from shared.kit.uuids import new_uuid

log = logging.getLogger(__name__)

_PURPOSE = "agent authority key"


class AgentAuthorities:
    """
    Fills ``authorities`` from the database; every replica does so, and computes the same rotation.

    A successor is trusted by every replica an hour before it signs, and the one before is trusted
    until its last certificate has expired: agents change over as they renew. ``changed`` is called
    when the set has changed.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        authorities: AuthoritySet,
        clock: Clock,
        *,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._authorities = authorities
        self._clock = clock
        self._changed = changed

    async def refresh(self) -> bool:
        """
        Read the authorities, and add one if it is due; return whether one was added.

        UnfitDatabaseError: the installation's key does not open them.
        """
        now = self._clock.now()
        async with self._database.for_fleet("read agent authorities") as tx:
            await store.delete_expired_authorities(tx, now)
            found = await self._load(tx, now)
        added = is_due(found, now)
        if added:
            found = await self._publish(now)
        self._use(found)
        return added

    async def replace(self) -> str:
        """
        Sign with a new authority from now on, and trust no other; return its id.

        For an authority whose key leaked: every agent has to enrol again.
        """
        now = self._clock.now()
        made = make_authority(new_uuid(now), now)
        async with self._database.for_fleet("replace the agent authorities") as tx:
            await store.lock_authorities(tx)
            await self._insert(tx, made, now)
            await store.withdraw_others(tx, made.id, now)
        log.warning("agent authorities replaced", extra={"authority": str(made.id)})
        self._use([made])
        return str(made.id)

    async def _publish(self, now: datetime) -> Sequence[Authority]:
        """Add the first authority or a successor, unless another replica has; return all."""
        async with self._database.for_fleet("publish an agent authority") as tx:
            await store.lock_authorities(tx)
            found = await self._load(tx, now)
            if is_due(found, now):
                made = make_authority(new_uuid(now), now + PUBLISHED_BEFORE if found else now)
                await self._insert(tx, made, now)
                log.info(
                    "agent authority published",
                    extra={"authority": str(made.id), "active_from": made.active_from.isoformat()},
                )
                found = [*found, made]
        return found

    async def _insert(self, tx: FleetTx, authority: Authority, now: datetime) -> None:
        sealed = self._sealer.seal(SecretBytes(dump_key(authority)), _PURPOSE)
        stored = StoredAuthority(
            authority.id,
            authority.pem.decode(),
            sealed,
            authority.active_from,
            authority.expires_at,
        )
        await store.insert_authority(tx, stored, now)

    async def _load(self, tx: FleetTx, now: datetime) -> Sequence[Authority]:
        """Open the keys; seal those again that an older installation key has sealed."""
        found: list[Authority] = []
        for each in await store.list_authorities(tx, now):
            try:
                private_key = self._sealer.open(each.private_key, _PURPOSE)
            except SealError as error:
                raise UnfitDatabaseError(str(error)) from error
            if not self._sealer.is_current(each.private_key):
                sealed = self._sealer.seal(private_key, _PURPOSE)
                await store.seal_again(tx, each.id, each.private_key, sealed)
            certificate = each.certificate.encode()
            found.append(
                load_authority(each.id, certificate, private_key.reveal(), each.active_from)
            )
        return found

    def _use(self, authorities: Sequence[Authority]) -> None:
        before = self._authorities.roots()
        self._authorities.replace(authorities)
        if self._authorities.roots() != before:
            self._changed()
