"""Tests of a damaged ledger: it loses the unreadable attempts, and the agent starts."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.self_fencing import parse_last_heartbeat
from dataplane.agent.ledger.ledger import Ledger
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest
from shared.model.phases import Phase
from tests.unit.agent.assignments import NOW, make_assignment

BODY = b"a task's spec"
SPEC = Digest(sha256(BODY).digest())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def _assignments() -> list[Assignment]:
    return [replace(make_assignment(number), task_spec=SPEC) for number in (1, 2)]


async def _write(path: Path) -> tuple[AttemptId, AttemptId]:
    """Two attempts, each with two reports."""
    assignments = _assignments()
    async with Ledger.open(path) as ledger:
        await ledger.accept(assignments, {SPEC: BODY}, NOW)
        for assignment in assignments:
            for phase in (Phase.INITIALIZING, Phase.RUNNING):
                await ledger.record(assignment.attempt, [StatusUpdate(phase=phase)], NOW)
    return assignments[0].attempt, assignments[1].attempt


def _execute(path: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, values)


def _damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "garbage": b"garbage\n" * 1000,
            "cut": whole[: len(whole) // 2 + 100],
            "overwritten-page": whole[:4096] + b"\xff" * 4096 + whole[8192:],
        }[how]
    )


async def _held(path: Path) -> set[AttemptId]:
    async with Ledger.open(path) as ledger:
        return set(ledger.active)


@pytest.mark.parametrize("text", ["garbage", "", "[]", "{}", "null", '["a"]', "[" * 100_000])
async def test_unreadable_assignment_loses_only_its_attempt(path: Path, text: str) -> None:
    spoilt, sound = await _write(path)
    _execute(path, "UPDATE attempts SET assignment = ? WHERE attempt = ?", text, str(spoilt))

    assert await _held(path) == {sound}
    assert await _held(path) == {sound}
    async with Ledger.open(path) as ledger:  # it may be assigned again
        assert await ledger.accept(_assignments()[:1], {}, NOW)


@pytest.mark.parametrize("text", ["garbage", "", "[]", "{}", "null", "[99, 1]"])
async def test_unreadable_report_loses_only_its_attempt(path: Path, text: str) -> None:
    spoilt, sound = await _write(path)
    _execute(
        path, "UPDATE reports SET body = ? WHERE attempt = ? AND version = 1", text, str(spoilt)
    )

    assert await _held(path) == {sound}


async def test_missing_report_loses_only_its_attempt(path: Path) -> None:
    """Without it, the versions of later reports would be unknown."""
    spoilt, sound = await _write(path)
    _execute(path, "DELETE FROM reports WHERE attempt = ? AND version = 1", str(spoilt))

    assert await _held(path) == {sound}


async def test_reports_without_attempt_are_quarantined(path: Path) -> None:
    spoilt, sound = await _write(path)
    _execute(path, "DELETE FROM attempts WHERE attempt = ?", str(spoilt))

    assert await _held(path) == {sound}
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT attempt, version FROM unreadable").fetchall()
    assert kept == [(str(spoilt), 1), (str(spoilt), 2)]


@pytest.mark.parametrize("body", [b"", b"garbage"])
async def test_damaged_spec_is_missing_until_stored_again(path: Path, body: bytes) -> None:
    await _write(path)
    _execute(path, "UPDATE specs SET body = ?", body)

    async with Ledger.open(path) as ledger:
        assert await ledger.spec(SPEC) is None
        await ledger.accept([], {SPEC: BODY}, NOW)
        assert await ledger.spec(SPEC) == BODY


async def test_unreadable_metadata_has_safe_values(path: Path) -> None:
    await _write(path)
    for name in ("last_epoch", "contact_us", "fence_us", "reassign_us"):
        _execute(path, "INSERT OR REPLACE INTO facts VALUES (?, 'garbage')", name)

    async with Ledger.open(path) as ledger:
        assert ledger.last_epoch == 0
        assert ledger.last_heartbeat is not None
        assert ledger.last_heartbeat.at == datetime(1970, 1, 1, tzinfo=UTC)


def test_incomplete_last_heartbeat_counts_as_expired() -> None:
    last_heartbeat = parse_last_heartbeat({"contact_us": str(10**15)})

    assert last_heartbeat is not None
    assert last_heartbeat.at == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("damage", ["garbage", "cut", "overwritten-page"])
async def test_damaged_ledger_file_is_renamed_and_replaced(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await _write(path)
    _execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    _damage(path, damage)

    assert await _held(path) == set()
    assert path.with_name("ledger.sqlite3.unreadable").exists()
    assert "ledger damaged" in caplog.text
    assert await _write(path)


async def test_empty_ledger_file_is_initialized(path: Path) -> None:
    await _write(path)
    _execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    _damage(path, "empty")

    assert await _held(path) == set()
