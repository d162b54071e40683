"""
Use cases of the audit log: record, list, verify and export it.

Other use cases record what they did in the transaction that did it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.core.audit import (
    AuditCheck,
    AuditEvent,
    AuditPage,
    AuditRecord,
    BrokenChain,
    find_break,
)
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Listing
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import audit as store
from shared.kit.clock import Clock

_PAGE = 1_000
MAX_EXPORTED = 1_000
"""Records of one page of an export."""
_PAGES_OF_PART = 10
"""Pages that one call checks: about a second."""


@dataclass(frozen=True, slots=True)
class ExportedAudit:
    """A page of an export; ``complete``: no record follows."""

    records: Sequence[AuditRecord]
    complete: bool


async def record(
    tx: OrgTx,
    clock: Clock,
    caller: Caller,
    action: str,
    target: str,
    *,
    detail: Mapping[str, str] | None = None,
    outcome: str = "done",
) -> None:
    """Append what ``caller`` did (``action``: noun.verb) to the audit log of the org."""
    event = AuditEvent(
        actor=caller.subject,
        action=action,
        target=target,
        outcome=outcome,
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
        """
        List records, newest first.

        Each page looks through a bounded part of the log, so one with filters may have few
        records, or none, and yet a token of the next page.
        """
        caller.require(Permission.AUDIT_READ)
        if listing.orders:
            raise InvalidError("the audit log is listed newest first; it takes no other order")
        async with self._database.for_org(caller.org) as tx:
            return await store.list_audit(tx, listing)

    async def export_page(
        self, caller: Caller, *, after: int = 0, limit: int = MAX_EXPORTED
    ) -> ExportedAudit:
        """Return the records after a number, oldest first: at most ``limit``, and MAX_EXPORTED."""
        caller.require(Permission.AUDIT_READ)
        most = min(limit, MAX_EXPORTED)
        async with self._database.for_org(caller.org) as tx:
            found = await store.read_audit(tx, after=after, most=most + 1)
        return ExportedAudit(found[:most], complete=len(found) <= most)

    async def verify(self, caller: Caller) -> BrokenChain | None:
        """Check the chain of hashes; return the first record at which it breaks, or None."""
        checked = AuditCheck(checked_to=0, complete=False)
        while not checked.complete and checked.broken is None:
            checked = await self.verify_part(caller, after=checked.checked_to)
        return checked.broken

    async def verify_part(self, caller: Caller, *, after: int = 0) -> AuditCheck:
        """Check the chain behind a record that was checked before, for a bounded number of records."""
        caller.require(Permission.AUDIT_READ)
        async with self._database.for_org(caller.org) as tx:
            last, last_hash = await store.find_head(tx)
            number, previous_hash = after, await store.find_hash(tx, after)
        if previous_hash is None:
            return _broken(after - 1, BrokenChain(number=after, reason="the record is missing"))
        for _ in range(_PAGES_OF_PART):
            async with self._database.for_org(caller.org) as tx:
                records = await store.read_audit(tx, after=number, most=_PAGE)
            broken = find_break(records, number + 1, previous_hash)
            if broken is not None:
                return _broken(broken.number - 1, broken)
            has_last = number < last <= number + len(records)
            if has_last and records[last - number - 1].hash != last_hash:
                other = BrokenChain(number=last, reason="the head of the log has another hash")
                return _broken(last - 1, other)
            if records:
                number, previous_hash = records[-1].number, records[-1].hash
            if len(records) < _PAGE:
                if number < last:
                    missing = BrokenChain(number=number + 1, reason="the record is missing")
                    return _broken(number, missing)
                return AuditCheck(checked_to=number, complete=True)
        return AuditCheck(checked_to=number, complete=False)


def _broken(checked_to: int, broken: BrokenChain) -> AuditCheck:
    return AuditCheck(checked_to=max(0, checked_to), complete=False, broken=broken)
