"""
Where the ledger is written down, and what every such place promises.

A journal only writes and, once, at the start, reads: what it holds is in the ledger's memory
as well. Whoever asks is answered when the thing will be there after a kill -9; what is under
way when its asker is cancelled is carried out all the same. One suite holds all to this.
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
    """The ledger cannot be read or written; the agent must not go on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, as it is written down."""

    assignment: Assignment
    accepted_at: datetime
    reports: Sequence[Report]  # by version, from 1 without gaps


@dataclass(frozen=True, slots=True)
class Contents:
    metadata: Mapping[str, str]
    entries: Sequence[Entry]  # in the order in which they were accepted


class Journal(Protocol):
    async def load(self) -> Contents:
        """Read everything but the specs."""

    async def accept(
        self,
        attempts: Sequence[ActiveAttempt],
        specs: Mapping[Digest, bytes],
        *,
        then: Callable[[Collection[AttemptId]], None] = lambda _: None,
    ) -> None:
        """
        Write them down, the specs first; some may be so already, or be about to.

        ``then`` is called when they are, with those that are refused, even if whoever waits
        has been cancelled meanwhile.
        """

    async def record(
        self, reports: Sequence[Report], *, then: Callable[[], None] = lambda: None
    ) -> None:
        """
        Write down the next reports of one attempt.

        ``then`` as above: what hangs on the writing must not hang on the waiting.
        """

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        """
        Hold the attempts no longer.

        Those that are over may be there again after a restart: the control plane has settled
        their reports, and takes them as repeated.
        """

    async def remember(self, metadata: Mapping[str, str]) -> None:
        """Write facts down, in time; one lost to a kill -9 is as it was before."""

    async def spec(self, digest: Digest) -> bytes | None: ...

    async def keep_specs(self, needed: Collection[Digest]) -> None:
        """Drop, in time, the specs that are not needed and do not come again meanwhile."""
