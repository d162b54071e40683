"""
Journal of an agent on one machine, in a SQLite file.

A row that cannot be read is moved to the table ``unreadable``, with all rows of its attempt:
the attempt is not active, and the control plane retries it. Specs are verified against
their digests.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from dataplane.agent.core.active_attempts import ActiveAttempt
from dataplane.agent.ledger import codec
from dataplane.agent.ledger.database import Database, Statement
from dataplane.agent.ledger.journal import Contents, Entry
from shared.kit.timestamps import from_us, to_us
from shared.model.ids import AttemptId, Digest
from shared.model.reports import Report

_UPSERT_METADATA = (
    "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
)
_INSERT_SPEC = "INSERT INTO specs VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_INSERT_ATTEMPT = "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?)"
_INSERT_REPORT = "INSERT INTO reports VALUES (?, ?, ?)"
_DROP_ATTEMPT = "DELETE FROM attempts WHERE attempt = ?"
_DROP_REPORTS = "DELETE FROM reports WHERE attempt = ?"
_MAKE_UNREADABLE = (
    "CREATE TABLE IF NOT EXISTS unreadable (attempt TEXT, version INTEGER, body TEXT)"
)
_MOVE_ATTEMPT = (
    "INSERT INTO unreadable SELECT attempt, 0, assignment FROM attempts WHERE attempt = ?"
)
_MOVE_REPORTS = (
    "INSERT INTO unreadable SELECT attempt, version, body FROM reports WHERE attempt = ?"
)
_DROP_SPEC = "DELETE FROM specs WHERE digest = ?"

logger = logging.getLogger(__name__)

# What a codec raises for what it did not write.
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


class SqliteJournal:
    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the journal at ``path``; a missing file is created."""
        async with Database.open(path) as database:
            yield cls(database)

    async def load(self) -> Contents:
        metadata = {
            str(name): str(value)
            for name, value in await self._database.read("SELECT name, value FROM facts")
        }
        entries: dict[object, Entry] = {}
        reports: dict[object, list[Report]] = {}
        unreadable: dict[object, str] = {}
        for key, accepted_us, text in await self._database.read(
            "SELECT attempt, accepted_us, assignment FROM attempts ORDER BY accepted_us"
        ):
            reports[key] = []
            try:
                assignment = codec.parse_assignment(text)
                if str(assignment.attempt) != key:
                    raise ValueError(f"it belongs to attempt {assignment.attempt}")
                entries[key] = Entry(assignment, from_us(accepted_us), reports[key])
            except _UNREADABLE as error:
                unreadable[key] = f"its assignment: {error!r}"
        for key, version, text in await self._database.read(
            "SELECT attempt, version, body FROM reports ORDER BY attempt, version"
        ):
            entry = entries.get(key)
            if entry is None:
                unreadable.setdefault(key, "reports of an attempt that is not active")
                continue
            active = entry.assignment
            try:
                if version != len(reports[key]) + 1:
                    raise ValueError(f"report {len(reports[key]) + 1} is missing")
                report = codec.parse_report(active.attempt, active.lease, version, text)
            except _UNREADABLE as error:
                unreadable.setdefault(key, f"report {version}: {error!r}")
                continue
            reports[key].append(report)
        await self._quarantine(unreadable)
        readable = [entry for key, entry in entries.items() if key not in unreadable]
        return Contents(metadata, readable)

    async def _quarantine(self, unreadable: Mapping[object, str]) -> None:
        if not unreadable:
            return
        for key, detail in unreadable.items():
            logger.error(
                "attempt unreadable in the ledger, quarantined",
                extra={"attempt": str(key), "detail": detail},
            )
        keys = [(key,) for key in unreadable]
        await self._database.write(
            Statement(_MAKE_UNREADABLE, [()]),
            Statement(_MOVE_ATTEMPT, keys),
            Statement(_MOVE_REPORTS, keys),
            Statement(_DROP_ATTEMPT, keys),
            Statement(_DROP_REPORTS, keys),
        )

    async def accept(
        self,
        attempts: Sequence[ActiveAttempt],
        specs: Mapping[Digest, bytes],
        *,
        then: Callable[[Collection[AttemptId]], None] = lambda _: None,
    ) -> None:
        rows = [
            (
                str(active.assignment.attempt),
                to_us(active.accepted_at),
                codec.render_assignment(active.assignment),
            )
            for active in attempts
        ]
        await self._database.write(
            Statement(_INSERT_SPEC, list(specs.items())),
            Statement(_INSERT_ATTEMPT, rows),
            then=lambda: then(()),
        )

    async def record(
        self, reports: Sequence[Report], *, then: Callable[[], None] = lambda: None
    ) -> None:
        rows = [
            (str(report.attempt), report.version, codec.render_report(report)) for report in reports
        ]
        await self._database.write(Statement(_INSERT_REPORT, rows), then=then)

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        keys = [(str(attempt),) for attempt in attempts]
        await self._database.write(Statement(_DROP_ATTEMPT, keys), Statement(_DROP_REPORTS, keys))

    async def remember(self, metadata: Mapping[str, str]) -> None:
        await self._database.write(Statement(_UPSERT_METADATA, list(metadata.items())))

    async def spec(self, digest: Digest) -> bytes | None:
        rows = await self._database.read("SELECT body FROM specs WHERE digest = ?", digest)
        if not rows:
            return None
        body = bytes(rows[0][0])
        if hashlib.sha256(body).digest() == digest:
            return body
        logger.error("spec damaged in the ledger, dropped", extra={"digest": digest.hex()})
        await self._database.write(Statement(_DROP_SPEC, [(digest,)]))
        return None

    async def keep_specs(self, needed: Collection[Digest]) -> None:
        stored = await self._database.read("SELECT digest FROM specs")
        unneeded = [row for row in stored if row[0] not in needed]
        await self._database.write(Statement(_DROP_SPEC, unneeded))
