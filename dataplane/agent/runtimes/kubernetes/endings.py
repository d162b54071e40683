"""
Determine an attempt's final status from the cluster's observation and the task's own files.

The error that the task wrote takes precedence, except where the attempt was stopped: one that
was preempted, timed out or fenced ended for that reason, whatever it managed to write. A task
that the kernel killed for memory and that wrote an error failed of its memory. A Python task
that crashed after it had written its outputs has succeeded.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.endings import (
    CRASHED,
    CUT_OFF,
    TaskError,
    cut_message,
    event_of_late_crash,
    failure_of_error,
    failure_of_no_outputs,
    quote,
)
from dataplane.agent.runtimes import artifacts
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.kubernetes.failures import MAX_RUNTIME_EXCEEDED, OOM_KILLED
from dataplane.agent.runtimes.kubernetes.recorded_outcomes import AttemptOutcome
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.runtime_selection import is_python_task, starts_with_sdk
from shared.blobs.errors import BlobError
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

logger = logging.getLogger(__name__)

_WITHOUT_OUTPUTS = frozenset({"OutputInvalid", "OutputMissing"})  # the copilot's codes
_FINAL = frozenset({MAX_RUNTIME_EXCEEDED, CUT_OFF.code})


async def conclude(stores: Stores, job: Job, outcome: AttemptOutcome, at: datetime) -> StatusUpdate:
    """Return the attempt's final status update, which is reported at ``at``."""
    prefix = job.assignment.output_prefix
    try:
        failure = await _classify(stores, job, outcome)
    except BlobError as error:
        message = f"the task's result could not be read from the store: {error}"
        failure = Failure(code="StorageUnavailable", kind=FailureKind.SYSTEM, message=message)
    events = outcome.events
    if failure is None:
        phase = Phase.SUCCEEDED
        crash = _find_crash(outcome)
        if crash is not None:
            events = [*events, event_of_late_crash(crash, at)]
    elif failure.code == MAX_RUNTIME_EXCEEDED:
        phase = Phase.TIMED_OUT
    else:
        phase = Phase.FAILED
    return StatusUpdate(
        phase=phase,
        failure=failure,
        output_uri=prefix if failure is None else "",
        report_uri=await _find_report(stores, job),
        log_uri=outcome.log_uri,
        events=events,
    )


async def has_succeeded(stores: Stores, job: Job) -> bool:
    """Return whether a stopped attempt had written its outputs before the stop."""
    try:
        return await _is_proven(stores, job)
    except BlobError:
        logger.warning(
            "outputs of stopped attempt not checked, counting it as stopped",
            extra={"action": str(job.assignment.key)},
            exc_info=True,
        )
        return False


async def _find_report(stores: Stores, job: Job) -> str:
    try:
        return await artifacts.find_report(stores, job)
    except BlobError:
        logger.warning("report lookup failed", extra={"action": str(job.assignment.key)})
        return ""


async def _classify(stores: Stores, job: Job, outcome: AttemptOutcome) -> Failure | None:
    failure = outcome.failure
    if failure is not None and (failure.kind is FailureKind.PREEMPTION or failure.code in _FINAL):
        if outcome.ended_well and await _is_proven(stores, job):
            return None
        return _quoted(failure, outcome.last_lines)
    error = await artifacts.read_error(stores, job)
    if error is not None and failure is not None and _is_consequence(error, outcome):
        return _quoted(failure, outcome.last_lines)
    if error is not None:
        return _of_memory(failure, error) or failure_of_error(error)
    if _find_crash(outcome) and is_python_task(job.task) and await _is_proven(stores, job):
        return None
    if not outcome.ended_well and failure is not None:
        return _quoted(failure, outcome.last_lines)
    if failure is not None:
        proven = await _is_proven(stores, job)
        return None if proven else _quoted(failure, outcome.last_lines)
    if await artifacts.are_outputs_missing(stores, job):
        return quote(failure_of_no_outputs(job.assignment.output_prefix), outcome.last_lines)
    return None


def _find_crash(outcome: AttemptOutcome) -> Failure | None:
    failure = outcome.failure
    return failure if failure is not None and failure.code == CRASHED else None


def _is_consequence(error: TaskError, outcome: AttemptOutcome) -> bool:
    """
    Return whether the copilot's error only follows from the task's own failure.

    It reports missing or invalid outputs, which a task that failed has not written.
    """
    return not outcome.ended_well and error.code in _WITHOUT_OUTPUTS


async def _is_proven(stores: Stores, job: Job) -> bool:
    """
    Return whether the existence of the task's outputs proves that it succeeded.

    Only the SDK's own entry point writes them last of all, and only on success; what the
    copilot uploads may be incomplete.
    """
    if not starts_with_sdk(job.task) or await artifacts.read_error(stores, job) is not None:
        return False
    return await artifacts.has_outputs(stores, job)


def _of_memory(failure: Failure | None, error: TaskError) -> Failure | None:
    if failure is None or failure.code != OOM_KILLED:
        return None
    text = cut_message(error.message, error.uri)
    return replace(
        failure,
        message=cut_message(f"{failure.message}\nThe task reported: {text}", error.uri),
        full_uri=error.uri,
    )


def _quoted(failure: Failure, lines: Sequence[str]) -> Failure:
    return quote(failure, lines) if lines else failure
