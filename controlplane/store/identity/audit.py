"""Appends to the audit log, lists it, and reads it for verification and export."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.audit import FIRST_HASH, AuditEvent, AuditPage, AuditRecord, hash_of
from controlplane.core.callers import Subject
from controlplane.core.errors import InvalidError
from controlplane.core.lists import MAX_LIMIT, Listing
from controlplane.store.database import OrgTx
from controlplane.store.identity_tables import audit_log
from controlplane.store.resources.filters import (
    among,
    numbers,
    restrict,
    text_field,
    timestamp_field,
)
from controlplane.store.statements import statement
from shared.model.ids import OrgName

MOST_EXAMINED = 10_000
"""Records that one page looks through."""

_FIELDS = among({
    "number": numbers(audit_log.c.number),
    "at": timestamp_field(audit_log.c.at),
    "actor": text_field(audit_log.c.actor),
    "action": text_field(audit_log.c.action),
    "target": text_field(audit_log.c.target),
    "outcome": text_field(audit_log.c.outcome),
    "peer": text_field(audit_log.c.peer),
    "request_id": text_field(audit_log.c.request_id),
})  # fmt: skip

_MAKE_HEAD = statement("""
INSERT INTO audit_heads (org, number, hash) VALUES (:org, 0, :first) ON CONFLICT DO NOTHING
""")
_LOCK_HEAD = statement("SELECT number, hash FROM audit_heads WHERE org = :org FOR UPDATE")
_APPEND = statement("""
WITH head AS (
    UPDATE audit_heads SET number = :number, hash = :hash WHERE org = :org
)
INSERT INTO audit_log
    (org, number, at, actor, action, target, outcome, peer, request_id, detail, previous_hash, hash)
VALUES (:org, :number, :now, :actor, :action, :target, :outcome, :peer, :request_id, :detail,
        :previous, :hash)
""").bindparams(bindparam("detail", type_=JSONB))
_HEAD = statement("SELECT number, hash FROM audit_heads WHERE org = :org")


async def append_audit(tx: OrgTx, event: AuditEvent, now: datetime) -> int:
    """
    Append a record and return its number; it commits with the act, or not at all.

    Last of a transaction's locks: until it commits, other acts of the org wait here.
    """
    head: Any = (await tx.execute(_LOCK_HEAD)).first()
    if head is None:
        await tx.execute(_MAKE_HEAD, {"first": FIRST_HASH})
        head = (await tx.execute(_LOCK_HEAD)).one()
    number: int = head.number + 1
    await tx.execute(
        _APPEND,
        {
            "number": number,
            "now": now,
            "actor": event.actor,
            "action": event.action,
            "target": event.target,
            "outcome": event.outcome,
            "peer": event.peer,
            "request_id": event.request_id,
            "detail": dict(event.detail),
            "previous": head.hash,
            "hash": hash_of(tx.org, number, now, event, head.hash),
        },
    )
    return number


async def list_audit(tx: OrgTx, listing: Listing) -> AuditPage:
    """
    List records, newest first, from at most ``MOST_EXAMINED`` numbers.

    A token is the number below which the next page begins. Records with rare values are many calls
    apart in a long log, and no call is slow.
    """
    last, _ = await find_head(tx)
    below = _parse_number(listing.token) if listing.token else last + 1
    lowest = max(0, below - 1 - MOST_EXAMINED)
    limit = min(listing.limit, MAX_LIMIT)
    query = (
        restrict(select(audit_log), _FIELDS, listing.filters)
        .where(audit_log.c.org == tx.org, audit_log.c.number < below, audit_log.c.number > lowest)
        .order_by(audit_log.c.number.desc())
        .limit(limit + 1)
    )
    rows = (await tx.connection.execute(query)).all()
    next_below = rows[limit - 1].number if len(rows) > limit else lowest + 1
    token = str(next_below) if next_below > 1 else ""
    return AuditPage([_parse(row) for row in rows[:limit]], token)


async def find_hash(tx: OrgTx, number: int) -> bytes | None:
    """Return the hash of a record; None if it is missing. Before the first there is a constant."""
    if number == 0:
        return FIRST_HASH
    query = select(audit_log.c.hash).where(audit_log.c.org == tx.org, audit_log.c.number == number)
    return (await tx.connection.execute(query)).scalar_one_or_none()


async def read_audit(tx: OrgTx, *, after: int, most: int) -> Sequence[AuditRecord]:
    """Return records by number, after this one."""
    query = (
        select(audit_log)
        .where(audit_log.c.org == tx.org, audit_log.c.number > after)
        .order_by(audit_log.c.number)
        .limit(most)
    )
    return [_parse(row) for row in await tx.connection.execute(query)]


async def find_head(tx: OrgTx) -> tuple[int, bytes]:
    """Return the last record's number and hash, as the head has them."""
    row: Any = (await tx.execute(_HEAD)).first()
    return (0, FIRST_HASH) if row is None else (row.number, row.hash)


def _parse_number(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) <= 18):
        raise InvalidError("the page token is invalid; start at the first page")
    return int(token)


def _parse(row: Any) -> AuditRecord:
    return AuditRecord(
        org=OrgName(row.org),
        number=row.number,
        at=row.at,
        event=AuditEvent(
            actor=Subject(row.actor),
            action=row.action,
            target=row.target,
            outcome=row.outcome,
            peer=row.peer,
            request_id=row.request_id,
            detail=row.detail,
        ),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
