"""The journal of an agent on one machine: a file that SQLite keeps."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from dataplane.agent.core.held import Held
from dataplane.agent.core.instants import from_us, to_us
from dataplane.agent.ledger import codec
from dataplane.agent.ledger.database import Database, Statement
from dataplane.agent.ledger.journal import Contents, Entry, LedgerError
from shared.model.ids import AttemptId, Digest
from shared.model.reports import Report

_KEEP_FACT = "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_KEEP_SPEC = "INSERT OR IGNORE INTO specs VALUES (?, ?)"
_KEEP_ATTEMPT = "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?)"
_KEEP_REPORT = "INSERT INTO reports VALUES (?, ?, ?)"
_DROP_ATTEMPT = "DELETE FROM attempts WHERE attempt = ?"
_DROP_REPORTS = "DELETE FROM reports WHERE attempt = ?"
_DROP_SPEC = "DELETE FROM specs WHERE digest = ?"


class SqliteJournal:
    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the journal at ``path``; it is made if it is missing."""
        async with Database.open(path) as database:
            yield cls(database)

    async def load(self) -> Contents:
        facts: dict[str, str] = dict(await self._database.read("SELECT name, value FROM facts"))
        entries: dict[object, Entry] = {}
        reports: dict[object, list[Report]] = {}
        for key, accepted_us, text in await self._database.read(
            "SELECT attempt, accepted_us, assignment FROM attempts ORDER BY accepted_us"
        ):
            reports[key] = []
            entries[key] = Entry(codec.parse_assignment(text), from_us(accepted_us), reports[key])
        for key, version, text in await self._database.read(
            "SELECT attempt, version, body FROM reports ORDER BY attempt, version"
        ):
            entry = entries.get(key)
            if entry is None:
                raise LedgerError(f"the ledger has a report of {key}, which it does not hold")
            held = entry.assignment
            reports[key].append(codec.parse_report(held.attempt, held.lease, version, text))
        return Contents(facts, list(entries.values()))

    async def accept(
        self,
        attempts: Sequence[Held],
        specs: Mapping[Digest, bytes],
        *,
        then: Callable[[Collection[AttemptId]], None] = lambda _: None,
    ) -> None:
        rows = [
            (
                str(held.assignment.attempt),
                to_us(held.accepted_at),
                codec.render_assignment(held.assignment),
            )
            for held in attempts
        ]
        await self._database.write(
            Statement(_KEEP_SPEC, list(specs.items())),
            Statement(_KEEP_ATTEMPT, rows),
            then=lambda: then(()),
        )

    async def record(
        self, reports: Sequence[Report], *, then: Callable[[], None] = lambda: None
    ) -> None:
        rows = [
            (str(report.attempt), report.version, codec.render_report(report)) for report in reports
        ]
        await self._database.write(Statement(_KEEP_REPORT, rows), then=then)

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        keys = [(str(attempt),) for attempt in attempts]
        await self._database.write(Statement(_DROP_ATTEMPT, keys), Statement(_DROP_REPORTS, keys))

    async def remember(self, facts: Mapping[str, str]) -> None:
        await self._database.write(Statement(_KEEP_FACT, list(facts.items())))

    async def spec(self, digest: Digest) -> bytes | None:
        rows = await self._database.read("SELECT body FROM specs WHERE digest = ?", digest)
        return bytes(rows[0][0]) if rows else None

    async def keep_specs(self, needed: Collection[Digest]) -> None:
        stored = await self._database.read("SELECT digest FROM specs")
        unneeded = [row for row in stored if row[0] not in needed]
        await self._database.write(Statement(_DROP_SPEC, unneeded))
