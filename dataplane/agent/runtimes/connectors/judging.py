"""What a job's phase means for its attempt."""

from flyteidl2.connector import connector_pb2
from flyteidl2.core import execution_pb2

from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

_Remote = execution_pb2.TaskExecution

_GOING = {
    _Remote.QUEUED: Phase.WAITING_FOR_RESOURCES,
    _Remote.WAITING_FOR_RESOURCES: Phase.WAITING_FOR_RESOURCES,
    _Remote.INITIALIZING: Phase.INITIALIZING,
    _Remote.RUNNING: Phase.RUNNING,
}
_MESSAGE_CHARACTERS = 8_000
_REASON = "Connector"

CREATING = "CreatingJob"
"""The reason of an attempt for which a connector is asked to create a job."""


def read_phase(resource: connector_pb2.Resource) -> Phase | None:
    """Return the attempt's phase; None for one that says nothing or that is not known."""
    match resource.phase:
        case _Remote.SUCCEEDED:
            return Phase.SUCCEEDED
        case _Remote.FAILED | _Remote.RETRYABLE_FAILED | _Remote.ABORTED:
            return Phase.FAILED
        case phase:
            return _GOING.get(phase)


def read_reason(resource: connector_pb2.Resource) -> str:
    """Return the connector's own word for the phase, machine-readable."""
    return f"{_REASON}{_Remote.Phase.Name(resource.phase).title().replace('_', '')}"


def is_of_job(reason: str) -> bool:
    """Whether the reason of an attempt that has begun says that a connector runs it."""
    return reason == CREATING or reason.startswith(_REASON)


def read_failure(resource: connector_pb2.Resource) -> Failure:
    """Return why a job that is over and has not succeeded failed."""
    text = resource.message.strip()[:_MESSAGE_CHARACTERS]
    if resource.phase == _Remote.ABORTED:
        return Failure(
            code="AbortedOutside",
            kind=FailureKind.SYSTEM,
            message=text or "the job was ended in the service that ran it, and not by us",
        )
    return Failure(
        code="ConnectorJobFailed",
        kind=FailureKind.USER,
        message=text or "the job failed, and its connector does not say why",
        # A connector has another word for what may go well the next time.
        recoverable=resource.phase == _Remote.RETRYABLE_FAILED,
    )
