"""Fails attempts of task types that the cluster cannot run, naming what they need."""

import asyncio
from collections.abc import AsyncIterator

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.features import NEEDED_BY_TYPE
from dataplane.agent.runtimes.protocol import Job, ReportStatus
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

_NOTHING: tuple[LogChunk, ...] = ()

PROCESS = "process runtime cannot run: it runs the SDK's own entry point a0 as a local process"
KUBERNETES = "agent cannot run: it has no plugin for the type, and the task has no container"


def unsupported(job: Job, why: str) -> StatusUpdate:
    """Return the failed status of an unsupported task type; ``why`` follows the type's name."""
    return StatusUpdate(
        phase=Phase.FAILED,
        failure=Failure(
            code="UnsupportedTaskType",
            kind=FailureKind.USER,
            message=f"task {job.task.name} is of type {job.task.type!r}, {why}",
            recoverable=False,
        ),
    )


class UnsupportedRuntime:
    """Fails every attempt; ``why`` completes the sentence "which this cluster's …"."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:  # noqa: ARG002 - the protocol's
        needed = NEEDED_BY_TYPE.get(job.task.type, "a runtime that knows this task type")
        return unsupported(job, f"which this cluster's {self._why}. It needs {needed}")

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:  # noqa: ARG002 - the protocol's
        for chunk in _NOTHING:
            yield chunk
