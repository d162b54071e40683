"""
Ledger of the agent: active attempts, their reports, and the last session.

Everything is read once, at the start, and kept in memory as well; the journal is there for
the next start. A change is made in memory at once and is durable when the call returns;
nothing is sent or started before that. An attempt's reports stay in the journal until its
terminal one is acknowledged: after a restart all of them are sent again, and an
acknowledgement in between costs no write.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate, next_report
from dataplane.agent.core.outbox import Outbox
from dataplane.agent.core.self_fencing import (
    LastHeartbeat,
    parse_last_heartbeat,
    render_last_heartbeat,
)
from dataplane.agent.ledger.journal import Journal
from dataplane.agent.ledger.sqlite import SqliteJournal
from shared.kit.cache import LruCache
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.link_messages import Lease, Welcome
from shared.model.reports import Acknowledgement

logger = logging.getLogger(__name__)

ENDED_REMEMBERED = 10_000  # attempts that are over, in case they are assigned again


class Ledger:
    """The ledger; create it with :meth:`open`, or from a journal and then :meth:`load` once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._active: dict[AttemptId, ActiveAttempt] = {}
        self._unwritten: dict[LeaseId, asyncio.Event] = {}  # accepted; set when durable
        self._acknowledged: LruCache[AttemptId, LeaseId] = LruCache(ENDED_REMEMBERED)
        self.outbox = Outbox()
        self.agent_id = ""
        self.last_epoch = 0
        self.clock_skew = timedelta()  # of the agent, ahead of the control plane, at the last hello
        self.last_heartbeat: LastHeartbeat | None = None  # None: there never was a session

    def __repr__(self) -> str:
        return f"<Ledger active={len(self._active)} {self.outbox!r}>"

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the ledger of one machine at ``path``; a missing file is created."""
        async with SqliteJournal.open(path) as journal:
            ledger = cls(journal)
            await ledger.load()
            yield ledger

    async def load(self) -> None:
        """Read the journal; must be called before anything else."""
        contents = await self._journal.load()
        metadata = contents.metadata
        self.last_epoch = _read_epoch(metadata)
        self.last_heartbeat = parse_last_heartbeat(metadata)
        self.agent_id = metadata.get("agent_id", "") or str(uuid4())
        await self._remember(agent_id=self.agent_id)
        for entry in contents.entries:
            active = ActiveAttempt(assignment=entry.assignment, accepted_at=entry.accepted_at)
            if entry.reports:
                last = entry.reports[-1]
                active = replace(active, version=last.version, phase=last.phase, reason=last.reason)
            self._active[entry.assignment.attempt] = active
            self.outbox.add(entry.reports)

    @property
    def active(self) -> Mapping[AttemptId, ActiveAttempt]:
        return self._active

    def leases(self) -> Sequence[Lease]:
        return [active.lease for active in self._active.values()]

    def knows(self, lease: Lease) -> bool:
        """Return whether the lease is active, or was among the last ENDED_REMEMBERED."""
        active = self._active.get(lease.attempt)
        if active is not None:
            return active.lease == lease
        return self._acknowledged.get(lease.attempt) == lease.id

    async def accept(
        self, assignments: Iterable[Assignment], specs: Mapping[Digest, bytes], at: datetime
    ) -> Sequence[ActiveAttempt]:
        """
        Store the new assignments and the specs sent with them; return the new attempts.

        They are active at once, so that an inventory lists them; they may be started once they
        are durable.
        """
        fresh: dict[AttemptId, ActiveAttempt] = {}
        asked: dict[AttemptId, ActiveAttempt] = {}  # includes repeats, which may not be durable yet
        for assignment in assignments:
            attempt = assignment.attempt
            active = ActiveAttempt(assignment=assignment, accepted_at=at)
            if attempt not in self._active and not self.knows(active.lease):
                self._active[attempt] = fresh[attempt] = active
                self._unwritten[assignment.lease] = asyncio.Event()
            known = self._find(active.lease)
            if known is not None:
                asked[attempt] = known

        def note(refused: Collection[AttemptId]) -> None:
            for attempt, active in asked.items():
                if attempt in refused and self._find(active.lease) is not None:
                    del self._active[attempt]
                    fresh.pop(attempt, None)
                written = self._unwritten.pop(active.lease.id, None)
                if written is not None:
                    written.set()

        await self._journal.accept(list(asked.values()), specs, then=note)
        return list(fresh.values())

    async def written(self, lease: Lease) -> bool:
        """Wait until the lease's attempt is durable; return False if it is not active after all."""
        unwritten = self._unwritten.get(lease.id)
        if unwritten is not None:
            await unwritten.wait()
        return self._find(lease) is not None

    async def record(
        self, attempt: AttemptId, update: Sequence[StatusUpdate], at: datetime
    ) -> None:
        """Store status updates as reports; they are sent once durable. Repeats are left out."""
        active = self._active.get(attempt)
        if active is None:
            return  # forgotten meanwhile: its lease was revoked
        reports = []
        for item in update:
            active, report = next_report(active, item, at)
            if report is not None:
                reports.append(report)
        if not reports:
            return
        self._active[attempt] = active

        def enqueue() -> None:
            if attempt in self._active:
                self.outbox.add(reports)

        await self._journal.record(reports, then=enqueue)

    async def acknowledge(self, acknowledgements: Iterable[Acknowledgement]) -> Sequence[AttemptId]:
        """Drop acknowledged reports; return the attempts whose terminal report was acknowledged."""
        over = [item.attempt for item in acknowledgements if self.outbox.acknowledge(item)]
        await self.forget(over)
        return over

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        """Remove the attempts and their unsent reports."""
        known = [attempt for attempt in attempts if attempt in self._active]
        for attempt in known:
            self.outbox.drop(attempt)
            self._acknowledged[attempt] = self._active.pop(attempt).assignment.lease
        if known:
            await self._journal.forget(known)

    async def spec(self, digest: Digest) -> bytes | None:
        return await self._journal.spec(digest)

    async def begin_session(self) -> None:
        """Mark everything unacknowledged as unsent, and drop specs that no attempt needs."""
        self.outbox.rewind()
        needed = {
            digest
            for active in self._active.values()
            for digest in (active.assignment.task_spec, active.assignment.run_spec)
        }
        await self._journal.keep_specs(needed)

    async def remember_session(self, welcome: Welcome, now: datetime) -> None:
        """Store epoch and deadlines of a new session; the time of the last heartbeat is kept."""
        self.last_epoch = welcome.epoch
        self.clock_skew = now - welcome.server_time
        at = now if self.last_heartbeat is None else self.last_heartbeat.at
        self.last_heartbeat = LastHeartbeat(at, welcome.fence_after, welcome.reassign_after)
        await self._remember(
            last_epoch=self.last_epoch, **render_last_heartbeat(self.last_heartbeat)
        )

    async def remember_heartbeat(self, at: datetime) -> None:
        """Store that the control plane acknowledged the heartbeat sent at ``at``."""
        if self.last_heartbeat is not None:
            self.last_heartbeat = replace(self.last_heartbeat, at=at)
            await self._remember(**render_last_heartbeat(self.last_heartbeat))

    def _find(self, lease: Lease) -> ActiveAttempt | None:
        active = self._active.get(lease.attempt)
        return active if active is not None and active.lease == lease else None

    async def _remember(self, **metadata: int | str) -> None:
        await self._journal.remember({name: str(value) for name, value in metadata.items()})


def _read_epoch(metadata: Mapping[str, str]) -> int:
    text = metadata.get("last_epoch", "0")
    try:
        return int(text)
    except ValueError:
        logger.error("last epoch unreadable in the ledger, counting from 0", extra={"text": text})  # noqa: TRY400 - the text says it
        return 0
