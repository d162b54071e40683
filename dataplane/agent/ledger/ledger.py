"""
The agent's memory: what it holds, what it said, what it still has to say.

Everything is read once, at the start, and kept in memory as well; SQLite is there for the
next start. A change is made in memory when it is asked for and is durable when the call
returns; nobody sends or starts anything before that. An attempt's reports stay on disk
until its last one is acknowledged: after a restart all of them are said again, and an
acknowledgement in between costs no write.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

from dataplane.agent.core import limits
from dataplane.agent.core.fencing import Contact
from dataplane.agent.core.held import Held, News, draw_up
from dataplane.agent.core.instants import from_us, to_us
from dataplane.agent.core.messages import Lease, Welcome
from dataplane.agent.core.outbox import Outbox
from dataplane.agent.ledger import codec
from dataplane.agent.ledger.database import Database, LedgerError, Statement
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.reports import Acknowledgement

_US = timedelta(microseconds=1)

_KEEP_FACT = "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_KEEP_SPEC = "INSERT OR IGNORE INTO specs VALUES (?, ?)"
_KEEP_ATTEMPT = "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?)"
_KEEP_REPORT = "INSERT INTO reports VALUES (?, ?, ?)"
_DROP_ATTEMPT = "DELETE FROM attempts WHERE attempt = ?"
_DROP_REPORTS = "DELETE FROM reports WHERE attempt = ?"
_DROP_SPEC = "DELETE FROM specs WHERE digest = ?"


class Ledger:
    """Made by :meth:`open`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[AttemptId, Held] = {}
        self._settled: OrderedDict[AttemptId, LeaseId] = OrderedDict()
        self.outbox = Outbox()
        self.agent_id = ""
        self.last_epoch = 0
        self.contact: Contact | None = None  # None: there never was a session

    def __repr__(self) -> str:
        return f"<Ledger held={len(self._held)} {self.outbox!r}>"

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the ledger at ``path``; it is made if it is missing."""
        async with Database.open(path) as database:
            ledger = cls(database)
            await ledger._load()
            yield ledger

    @property
    def held(self) -> Mapping[AttemptId, Held]:
        return self._held

    def leases(self) -> Sequence[Lease]:
        return [held.lease for held in self._held.values()]

    def knows(self, lease: Lease) -> bool:
        """Whether the lease is held, or was until a short while ago."""
        held = self._held.get(lease.attempt)
        if held is not None:
            return held.lease == lease
        return self._settled.get(lease.attempt) == lease.id

    async def accept(
        self, assignments: Iterable[Assignment], specs: Mapping[Digest, bytes], at: datetime
    ) -> Sequence[Held]:
        """Write down those that are new, with the specs that came along; return the new."""
        fresh: dict[AttemptId, Held] = {}
        for assignment in assignments:
            held = Held(assignment=assignment, accepted_at=at)
            if assignment.attempt not in self._held and not self.knows(held.lease):
                fresh[assignment.attempt] = held
        self._held |= fresh
        await self._database.write(
            Statement(_KEEP_SPEC, list(specs.items())),
            Statement(
                _KEEP_ATTEMPT,
                [
                    (str(attempt), to_us(at), codec.render_assignment(held.assignment))
                    for attempt, held in fresh.items()
                ],
            ),
        )
        return list(fresh.values())

    async def record(self, attempt: AttemptId, news: Sequence[News], at: datetime) -> None:
        """Write down what happened; it goes out once that is done. No news is left out."""
        held = self._held.get(attempt)
        if held is None:
            return  # forgotten meanwhile: nobody wants to know
        reports = []
        for item in news:
            held, report = draw_up(held, item, at)
            if report is not None:
                reports.append(report)
        if not reports:
            return
        self._held[attempt] = held
        key = str(attempt)
        rows = [(key, report.version, codec.render_report(report)) for report in reports]

        def say() -> None:
            if attempt in self._held:
                self.outbox.add(reports)

        await self._database.write(Statement(_KEEP_REPORT, rows), then=say)

    async def settle(self, acknowledgements: Iterable[Acknowledgement]) -> Sequence[AttemptId]:
        """Take note of what was acknowledged; return the attempts that are over with that."""
        over = [item.attempt for item in acknowledgements if self.outbox.settle(item)]
        await self.forget(over)
        return over

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        """Hold the attempts no longer and say no more of them."""
        known = [attempt for attempt in attempts if attempt in self._held]
        for attempt in known:
            self.outbox.drop(attempt)
            self._settled[attempt] = self._held.pop(attempt).assignment.lease
        while len(self._settled) > limits.SETTLED_REMEMBERED:
            self._settled.popitem(last=False)
        if known:
            keys = [(str(attempt),) for attempt in known]
            await self._database.write(
                Statement(_DROP_ATTEMPT, keys), Statement(_DROP_REPORTS, keys)
            )

    async def spec(self, digest: Digest) -> bytes | None:
        rows = await self._database.read("SELECT body FROM specs WHERE digest = ?", digest)
        return bytes(rows[0][0]) if rows else None

    async def begin_session(self) -> None:
        """Everything unacknowledged is unsent again; specs nobody needs are dropped."""
        self.outbox.rewind()
        needed = {
            digest
            for held in self._held.values()
            for digest in (held.assignment.task_spec, held.assignment.run_spec)
        }
        stored = await self._database.read("SELECT digest FROM specs")
        unneeded = [row for row in stored if row[0] not in needed]
        await self._database.write(Statement(_DROP_SPEC, unneeded))

    async def remember_session(self, welcome: Welcome, now: datetime) -> None:
        """Write down what a session begins with; when we were last in touch is told apart."""
        self.last_epoch = welcome.epoch
        at = now if self.contact is None else self.contact.at
        self.contact = Contact(at, welcome.fence_after, welcome.reassign_after)
        await self._keep_facts(
            last_epoch=self.last_epoch,
            contact_us=to_us(at),
            fence_us=welcome.fence_after // _US,
            reassign_us=welcome.reassign_after // _US,
        )

    async def remember_touch(self, at: datetime) -> None:
        """Write down that the control plane has noted what we said then."""
        if self.contact is not None:
            self.contact = replace(self.contact, at=at)
            await self._keep_facts(contact_us=to_us(at))

    async def _keep_facts(self, **facts: int | str) -> None:
        rows = [(name, str(value)) for name, value in facts.items()]
        await self._database.write(Statement(_KEEP_FACT, rows))

    async def _load(self) -> None:
        facts: dict[str, str] = dict(await self._database.read("SELECT name, value FROM facts"))
        self.agent_id = facts.get("agent_id", "") or str(uuid4())
        self.last_epoch = int(facts.get("last_epoch", "0"))
        if "contact_us" in facts:
            self.contact = Contact(
                from_us(int(facts["contact_us"])),
                int(facts["fence_us"]) * _US,
                int(facts["reassign_us"]) * _US,
            )
        await self._keep_facts(agent_id=self.agent_id)
        by_key: dict[object, AttemptId] = {}
        for key, accepted_us, text in await self._database.read(
            "SELECT attempt, accepted_us, assignment FROM attempts ORDER BY accepted_us"
        ):
            assignment = codec.parse_assignment(text)
            by_key[key] = assignment.attempt
            self._held[assignment.attempt] = Held(
                assignment=assignment,
                accepted_at=from_us(accepted_us),
            )
        for key, version, text in await self._database.read(
            "SELECT attempt, version, body FROM reports ORDER BY attempt, version"
        ):
            attempt = by_key.get(key)
            if attempt is None:
                raise LedgerError(f"the ledger has a report of {key}, which it does not hold")
            held = self._held[attempt]
            report = codec.parse_report(attempt, held.assignment.lease, version, text)
            self._held[attempt] = replace(
                held, version=report.version, phase=report.phase, reason=report.reason
            )
            self.outbox.add([report])
