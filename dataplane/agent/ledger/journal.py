"""
Interface of the ledger's storage, and the guarantees that every implementation gives.

A journal only writes and, once, at the start, reads: the ledger keeps the same data in
memory. A call returns once its change survives a kill -9; a write in progress is completed
even if its caller is cancelled. One contract suite tests all implementations.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dataplane.agent.core.active_attempts import ActiveAttempt
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest
from shared.model.reports import Report


class LedgerError(Exception):
    """The ledger cannot be read or written; the agent must stop."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt as stored in the journal."""

    assignment: Assignment
    accepted_at: datetime
    reports: Sequence[Report]  # by version, from 1 without gaps


@dataclass(frozen=True, slots=True)
class Contents:
    metadata: Mapping[str, str]
    entries: Sequence[Entry]  # in the order in which they were accepted


class Journal(Protocol):
    async def load(self) -> Contents:
        """Read everything except the specs."""

    async def accept(
        self,
        attempts: Sequence[ActiveAttempt],
        specs: Mapping[Digest, bytes],
        *,
        then: Callable[[Collection[AttemptId]], None] = lambda _: None,
    ) -> None:
        """
        Store attempts, the specs first; idempotent for those already stored or being stored.

        ``then`` is called once they are durable, with those that could not be stored, even if
        the caller was cancelled meanwhile.
        """

    async def record(
        self, reports: Sequence[Report], *, then: Callable[[], None] = lambda: None
    ) -> None:
        """
        Store the next reports of one attempt.

        ``then`` is called once they are durable, even if the caller was cancelled meanwhile.
        """

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        """
        Delete the attempts.

        Those that are over may reappear after a restart: the control plane has acknowledged
        their reports and ignores repeats.
        """

    async def remember(self, metadata: Mapping[str, str]) -> None:
        """Store metadata, eventually; after a kill -9 it may have its previous value."""

    async def spec(self, digest: Digest) -> bytes | None: ...

    async def keep_specs(self, needed: Collection[Digest]) -> None:
        """Delete, eventually, the specs that are not needed and are not stored again meanwhile."""
