"""
What every runtime promises, and what it is given.

``run`` starts the attempt or, if an earlier agent started it, adopts it; so it may be
called again after a restart and the attempt still runs once. Cancelling ``run`` lets go
of the attempt and leaves it running. One contract suite holds every runtime to this.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.messages import LogChunk
from dataplane.agent.runtimes.tasks import RunSettings, Task
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId
from shared.model.phases import Phase

ReportStatus = Callable[[StatusUpdate], Awaitable[None]]
"""Takes what happens to an attempt on its way; returns when it is written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt, with everything that says how to run it."""

    assignment: Assignment
    task: Task
    run: RunSettings
    accepted_at: datetime
    last_reported: Phase = (
        Phase.QUEUED
    )  # the latest that was told of it before, by an earlier agent
    last_reported_reason: str = ""  # and why it was so

    @property
    def interruptible(self) -> bool:
        """Whether its node may be taken away at any time: as the run says, or else the task."""
        if self.run.spec.HasField("interruptible"):
            return bool(self.run.spec.interruptible.value)
        return bool(self.task.template.metadata.interruptible)


class NoLogError(Exception):
    """This agent has no log of that attempt, or has it no longer."""


class Runtime(Protocol):
    """Runs attempts of some task types."""

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        """
        Run the attempt, or go on with it; return how it ended, a terminal phase.

        Once ``stop`` is set the attempt is ended, and unless it was over already the
        phase is ABORTED.
        """

    def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        """Give the log's lines as they come, to its end; NoLogError if there is none."""
