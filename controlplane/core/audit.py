"""Audit log: its records, and the chain of hashes that shows what was removed or changed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from controlplane.core.callers import Subject
from shared.model.ids import OrgName

FIRST_HASH = bytes(32)
"""The hash before an org's first record."""
MAX_DETAIL_BYTES = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """An administrative act: who did what to what, from where, with which outcome."""

    actor: Subject
    action: str  # noun.verb
    target: str
    outcome: str = "done"
    peer: str = ""
    request_id: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A stored event; ``number`` counts from 1 in each org, without gaps."""

    org: OrgName
    number: int
    at: datetime
    event: AuditEvent
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of records, and the token of the next page ("" at the end)."""

    rows: Sequence[AuditRecord]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """Result of checking a part of the log: up to which record, whether that is the last one."""

    checked_to: int
    complete: bool
    broken: "BrokenChain | None" = None


@dataclass(frozen=True, slots=True)
class BrokenChain:
    """The first record at which an org's chain breaks; the number is the one that is expected."""

    number: int
    reason: str


def hash_of(
    org: OrgName, number: int, at: datetime, event: AuditEvent, previous_hash: bytes
) -> bytes:
    """
    Return SHA-256 of the previous hash and the record as canonical JSON.

    The JSON has sorted keys and no spaces; times are in UTC to the microsecond, as stored.
    """
    record = json.dumps(
        [
            org,
            number,
            at.astimezone(UTC).isoformat(timespec="microseconds"),
            event.actor,
            event.action,
            event.target,
            event.outcome,
            event.peer,
            event.request_id,
            dict(event.detail),
        ],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(previous_hash + record.encode()).digest()


def find_break(
    records: Sequence[AuditRecord], expected: int, previous_hash: bytes
) -> BrokenChain | None:
    """Check consecutive records that follow a hash; return where the chain breaks, or None."""
    for number, record in enumerate(records, start=expected):
        if record.number != number:
            return BrokenChain(number=number, reason="the record is missing")
        if record.previous_hash != previous_hash:
            return BrokenChain(number=number, reason="it does not follow the record before")
        made = hash_of(record.org, number, record.at, record.event, previous_hash)
        if made != record.hash:
            return BrokenChain(number=number, reason="it was changed")
        previous_hash = record.hash
    return None


def render_json_line(record: AuditRecord) -> str:
    """Render a record as one line of JSON, for exports; hashes are hexadecimal."""
    event = record.event
    return json.dumps(
        {
            "org": record.org,
            "number": record.number,
            "at": record.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": event.actor,
            "action": event.action,
            "target": event.target,
            "outcome": event.outcome,
            "peer": event.peer,
            "request_id": event.request_id,
            "detail": dict(event.detail),
            "previous_hash": record.previous_hash.hex(),
            "hash": record.hash.hex(),
        },
        ensure_ascii=False,
    )
