"""
Use cases of the audit log: record, list, verify and export it.

Other use cases record what they did in the transaction that did it.
"""

from collections.abc import AsyncIterator, Mapping

from controlplane.core.audit import (
    FIRST_HASH,
    AuditEvent,
    AuditPage,
    AuditRecord,
    BrokenChain,
    find_break,
)
from controlplane.core.callers import Caller, Permission
from controlplane.core.lists import Listing
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import audit as store
from shared.kit.clock import Clock

_PAGE = 1_000


async def record(
    tx: OrgTx,
    clock: Clock,
    caller: Caller,
    action: str,
    target: str,
    *,
    detail: Mapping[str, str] | None = None,
) -> None:
    """Append what ``caller`` did (``action``: noun.verb) to the audit log of the org."""
    event = AuditEvent(
        actor=caller.subject,
        action=action,
        target=target,
        peer=caller.peer,
        request_id=caller.request_id,
        detail=detail or {},
    )
    await store.append_audit(tx, event, clock.now())


class Audit:
    """Use cases of the audit log, for callers with the permission to read it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, caller: Caller, listing: Listing) -> AuditPage:
        """List records, newest first by default."""
        caller.require(Permission.AUDIT_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_audit(tx, listing)

    async def export(self, caller: Caller, *, after: int = 0) -> AsyncIterator[AuditRecord]:
        """Yield the records after a number, oldest first, in pages of a transaction each."""
        caller.require(Permission.AUDIT_READ)
        while True:
            async with self._database.for_org(caller.org) as tx:
                records = await store.read_audit(tx, after=after, most=_PAGE)
            for each in records:
                yield each
            if len(records) < _PAGE:
                return
            after = records[-1].number

    async def verify(self, caller: Caller) -> BrokenChain | None:
        """Check the chain of hashes; return the first record at which it breaks, or None."""
        caller.require(Permission.AUDIT_READ)
        async with self._database.for_org(caller.org) as tx:
            last, last_hash = await store.find_head(tx)
        number, previous_hash = 0, FIRST_HASH
        while True:
            async with self._database.for_org(caller.org) as tx:
                records = await store.read_audit(tx, after=number, most=_PAGE)
            broken = find_break(records, number + 1, previous_hash)
            if broken is not None:
                return broken
            has_last = number < last <= number + len(records)
            if has_last and records[last - number - 1].hash != last_hash:
                return BrokenChain(number=last, reason="the head of the log has another hash")
            if records:
                number, previous_hash = records[-1].number, records[-1].hash
            if len(records) < _PAGE:
                break
        if number < last:
            return BrokenChain(number=number + 1, reason="the record is missing")
        return None
