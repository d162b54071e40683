"""The chain of the audit log: its hashes, and where it breaks."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from controlplane.core.audit import (
    FIRST_HASH,
    AuditEvent,
    AuditRecord,
    BrokenChain,
    find_break,
    hash_of,
    render_json_line,
)
from controlplane.core.callers import Subject
from tests.factories import NOW, ORG

EVENT = AuditEvent(actor=Subject("user:1"), action="org.rename", target="org:acme")


def chain(length: int) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    previous = FIRST_HASH
    for number in range(1, length + 1):
        made = hash_of(ORG, number, NOW, EVENT, previous)
        records.append(
            AuditRecord(
                org=ORG, number=number, at=NOW, event=EVENT, previous_hash=previous, hash=made
            )
        )
        previous = made
    return records


def test_hash_of_a_record_is_sha256_of_the_previous_one_and_canonical_json() -> None:
    content = (
        f'["{ORG}",1,"{NOW.isoformat(timespec="microseconds")}","user:1","org.rename",'
        '"org:acme","done","","",{}]'
    )
    made = hash_of(ORG, 1, NOW, EVENT, FIRST_HASH)
    assert made == hashlib.sha256(FIRST_HASH + content.encode()).digest()
    elsewhere = NOW.astimezone(timezone(timedelta(hours=2)))
    assert hash_of(ORG, 1, elsewhere, EVENT, FIRST_HASH) == made


def test_whole_chain_has_no_break() -> None:
    records = chain(3)
    assert find_break(records, 1, FIRST_HASH) is None
    assert find_break(records[1:], 2, records[0].hash) is None
    assert find_break([], 1, FIRST_HASH) is None


@pytest.mark.parametrize(
    ("index", "change", "broken"),
    [
        (1, {"number": 9}, BrokenChain(2, "the record is missing")),
        (1, {"previous_hash": b"x"}, BrokenChain(2, "it does not follow the record before")),
        (2, {"event": replace(EVENT, target="org:other")}, BrokenChain(3, "it was changed")),
        (0, {"at": NOW + timedelta(microseconds=1)}, BrokenChain(1, "it was changed")),
    ],
)
def test_break_is_at_the_first_wrong_record(
    index: int, change: dict[str, object], broken: BrokenChain
) -> None:
    records = chain(3)
    records[index] = replace(records[index], **change)  # type: ignore[arg-type]
    assert find_break(records, 1, FIRST_HASH) == broken


def test_json_line_has_every_field_and_no_line_break() -> None:
    record = replace(chain(1)[0], event=replace(EVENT, target="a\nb", detail={"k": "v\r"}))
    line = render_json_line(record)
    assert "\n" not in line
    assert "\r" not in line
    assert json.loads(line) == {
        "org": ORG,
        "number": 1,
        "at": NOW.isoformat(timespec="microseconds"),
        "actor": "user:1",
        "action": "org.rename",
        "target": "a\nb",
        "outcome": "done",
        "peer": "",
        "request_id": "",
        "detail": {"k": "v\r"},
        "previous_hash": FIRST_HASH.hex(),
        "hash": record.hash.hex(),
    }
