"""
Interface of the runtimes, which run attempts of some task types.

``run`` starts the attempt or, if an earlier agent started it, adopts it; so it may be
called again after a restart and the attempt still runs once. Cancelling ``run`` detaches
from the attempt and leaves it running. One contract suite (tests/contract/runtimes) checks
this for every runtime.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.tasks import RunSettings, Task
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk
from shared.model.phases import Phase

ReportStatus = Callable[[StatusUpdate], Awaitable[None]]
"""Records a status update of a running attempt; returns once it is in the agent's ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An attempt to run: its assignment, its task, and the settings of its run."""

    assignment: Assignment
    task: Task
    run: RunSettings
    accepted_at: datetime
    last_reported: Phase = Phase.QUEUED  # the latest phase that an earlier agent reported
    last_reported_reason: str = ""  # the reason reported with that phase

    @property
    def interruptible(self) -> bool:
        """Whether the attempt may run on a preemptible node; the run's setting wins over the task's."""
        if self.run.spec.HasField("interruptible"):
            return bool(self.run.spec.interruptible.value)
        return bool(self.task.template.metadata.interruptible)


class NoLogError(Exception):
    """The agent has no log of the attempt, or has deleted it."""


class Runtime(Protocol):
    """Runs attempts of some task types."""

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        """
        Run the attempt, or resume watching it; return its terminal status update.

        Once ``stop`` is set the attempt is ended, and unless it had ended already the
        phase is ABORTED.
        """

    def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        """Yield the log's lines after ``after_line`` as they appear, to its end; NoLogError if none."""
