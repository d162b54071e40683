"""Maps a connector job's phase to its attempt's phase, reason and failure."""

from flyteidl2.connector import connector_pb2
from flyteidl2.core import execution_pb2

from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

_Remote = execution_pb2.TaskExecution

_ACTIVE = {
    _Remote.QUEUED: Phase.WAITING_FOR_RESOURCES,
    _Remote.WAITING_FOR_RESOURCES: Phase.WAITING_FOR_RESOURCES,
    _Remote.INITIALIZING: Phase.INITIALIZING,
    _Remote.RUNNING: Phase.RUNNING,
}
_MESSAGE_CHARACTERS = 8_000
_REASON = "Connector"

CREATING = "CreatingJob"
"""Reason reported while a connector creates the attempt's job."""


def read_phase(resource: connector_pb2.Resource) -> Phase | None:
    """Return the attempt's phase; None for an undefined or unknown phase."""
    match resource.phase:
        case _Remote.SUCCEEDED:
            return Phase.SUCCEEDED
        case _Remote.FAILED | _Remote.RETRYABLE_FAILED | _Remote.ABORTED:
            return Phase.FAILED
        case phase:
            return _ACTIVE.get(phase)


def read_reason(resource: connector_pb2.Resource) -> str:
    """Return the connector's phase as a machine-readable reason: "ConnectorRunning"."""
    return f"{_REASON}{_Remote.Phase.Name(resource.phase).title().replace('_', '')}"


def is_of_job(reason: str) -> bool:
    """Whether the reason of a started attempt shows that a connector runs it."""
    return reason == CREATING or reason.startswith(_REASON)


def read_failure(resource: connector_pb2.Resource) -> Failure:
    """Return the failure of a job that ended without success."""
    text = resource.message.strip()[:_MESSAGE_CHARACTERS]
    if resource.phase == _Remote.ABORTED:
        return Failure(
            code="AbortedOutside",
            kind=FailureKind.SYSTEM,
            message=text or "the job was aborted in the service that ran it, not by Volary",
        )
    return Failure(
        code="ConnectorJobFailed",
        kind=FailureKind.USER,
        message=text or "the job failed, and its connector gave no reason",
        # Connectors report RETRYABLE_FAILED for what another attempt may fix.
        recoverable=resource.phase == _Remote.RETRYABLE_FAILED,
    )
