"""
Checks, before a transaction that may use an entry of the result cache, that its outputs exist.

Outputs may be deleted from the bucket at any time. No transaction waits for the bucket: the
check comes first, and the transaction takes what was checked, or an entry that is newer.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from prometheus_client import Counter

from controlplane.core.caching import CacheCheck, CacheEntry
from controlplane.core.layout import outputs_uri
from controlplane.store.database import Database
from controlplane.store.dispatch.caching import (
    Lookup,
    RootSettings,
    delete_entries,
    find_entries,
)
from shared.blobs.errors import BlobStoreError
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import ActionId, OrgName

CHECK_TIMEOUT = timedelta(seconds=10)
CHECKS_AT_ONCE = 32
ROUNDS = 3
"""An entry without outputs is deleted, and the next one of its key is checked; so many times."""

log = logging.getLogger(__name__)

LOOKUPS = Counter(
    "volary_cache_lookups",
    "Actions that were looked up in the cache, by result: hit, miss, unchecked (the object store"
    " did not answer, so the action runs).",
    ["result"],
    registry=None,  # ``metrics`` registers it
)


class CacheChecks:
    """
    Looks actions up in the cache, and checks that the outputs they would get exist.

    ``max_age``: of entries that actions of tasks without a maximum age may use; None: any age.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        *,
        max_age: timedelta | None = None,
    ) -> None:
        self.max_age = max_age
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._limit = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def check(
        self, org: OrgName, lookups: Sequence[Lookup], *, root: RootSettings | None = None
    ) -> Sequence[CacheCheck]:
        """Return a check for each lookup; entries whose outputs are gone are deleted."""
        checked_at = self._clock.now()
        checks = {each.id: CacheCheck(checked_at=checked_at) for each in lookups}
        remaining = list(lookups)
        for _ in range(ROUNDS):
            gone = await self._check_once(org, remaining, checks, root)
            if not gone:
                break
            remaining = [each for each in remaining if each.id in gone]
        found = [checks[each.id] for each in lookups]
        for check in found:
            LOOKUPS.labels(_result(check)).inc()
        return found

    async def _check_once(
        self,
        org: OrgName,
        lookups: Sequence[Lookup],
        checks: dict[ActionId, CacheCheck],
        root: RootSettings | None,
    ) -> set[ActionId]:
        """Check the newest entry of each lookup; return those of which the outputs are gone."""
        async with self._database.for_org(org) as tx:
            found = await find_entries(tx, lookups, self._clock.now(), root=root)
        entries: dict[ActionId, CacheEntry] = {
            action: result.entry for action, result in found.items() if result.entry is not None
        }
        uris = {
            entries[each.id].output_uri
            for each in lookups
            if each.id in entries and each.request.has_outputs
        }
        there = dict(zip(uris, await asyncio.gather(*map(self._exists, uris)), strict=True))
        gone: set[ActionId] = set()
        for each in lookups:
            entry = entries.get(each.id)
            if entry is None:
                continue
            exists = there.get(entry.output_uri, True)
            if exists is False:
                gone.add(each.id)
                continue
            checks[each.id] = CacheCheck(
                output_uri=entry.output_uri if exists else "",
                checked_at=checks[each.id].checked_at,
                failed=exists is None,
            )
        if gone:
            keys = {
                (each.request.key, entries[each.id].output_uri)
                for each in lookups
                if each.id in gone
            }
            async with self._database.for_org(org) as tx:
                await delete_entries(tx, keys)
            log.info("cached outputs gone", extra={"org": org, "entries": len(keys)})
        return gone

    async def _exists(self, prefix: str) -> bool | None:
        """Return whether the outputs file exists; None if the store does not answer."""
        try:
            async with self._limit, asyncio.timeout(CHECK_TIMEOUT.total_seconds()):
                return await self._blobs.exists(outputs_uri(prefix))
        except (BlobStoreError, TimeoutError) as error:
            log.warning("cached outputs not checked", extra={"reason": str(error) or "timeout"})
            return None


def _result(check: CacheCheck) -> str:
    if check.failed:
        return "unchecked"
    return "hit" if check.output_uri else "miss"
