"""
Runs the two programs, ``download`` and ``sidecar``, and returns their exit codes.

    0  done; a task's own ``_ERROR`` has been uploaded as error.pb
    1  a store or the signer failed, or the deadline passed; another attempt may succeed
    2  the handoff is invalid
    3  the task's inputs or outputs are invalid
    143  terminated: ``download`` at the first SIGTERM, ``sidecar`` at the second

Every error is written to error.pb if possible, so that users read its message, where the
agent sees only the exit code.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dataplane.copilot import documents
from dataplane.copilot.connections import Connections
from dataplane.copilot.deadlines import Deadline
from dataplane.copilot.errors import CopilotError
from dataplane.copilot.handoff import Handoff
from dataplane.copilot.inputs import download_inputs
from dataplane.copilot.outputs import upload_outputs
from dataplane.copilot.pool import Pool
from dataplane.copilot.retries import Retries
from dataplane.copilot.transfers import Transfers
from dataplane.copilot.urls import EndpointUrls, PresignedUrls, UrlSource
from dataplane.copilot.waiting import End, Signals, await_end, leave
from shared.model.reports import Failure, FailureKind

_log = logging.getLogger(__name__)

ERROR_DOCUMENT = "error.pb"
_ERROR_REPORT_SECONDS = 20  # to write error.pb after the deadline


def run_download(handoff: Handoff) -> int:
    """Download the inputs; return the exit code."""
    deadline = Deadline(handoff.seconds.whole)
    Signals(leave).listen()
    with _transfers(handoff, deadline) as transfers:
        return _run(handoff, transfers, deadline, lambda: download_inputs(handoff, transfers))


def run_sidecar(handoff: Handoff) -> int:
    """
    Wait for the task to end, upload its outputs or error; return the exit code.

    The kubelet restarts a native sidecar that exits before SIGTERM, so it waits for that.
    """
    deadline = Deadline(handoff.seconds.whole)
    signals = Signals(lambda: deadline.shorten(handoff.seconds.grace))
    signals.listen()
    with _transfers(handoff, deadline) as transfers:
        code = _run(
            handoff,
            transfers,
            deadline,
            lambda: _ship(handoff, transfers, deadline, signals),
        )
    if handoff.stay:
        signals.first.wait(deadline.left())
    return code


def _ship(handoff: Handoff, transfers: Transfers, deadline: Deadline, signals: Signals) -> None:
    handoff.outputs.path.mkdir(parents=True, exist_ok=True)
    end = await_end(
        handoff.outputs.path,
        signals.first,
        deadline,
        start_seconds=handoff.seconds.start,
    )
    _log.info("task ended", extra={"known_by": end.name})
    if end is End.ERROR:
        failure = documents.load_task_error(handoff.outputs.path / documents.ERROR)
        transfers.send_bytes(_error_uri(handoff), documents.render_error(failure))
    else:
        upload_outputs(handoff, transfers)


def _run(
    handoff: Handoff, transfers: Transfers, deadline: Deadline, work: Callable[[], None]
) -> int:
    began = time.monotonic()
    try:
        work()
    except CopilotError as error:
        failure, code = error.failure(), error.exit_code
    except Exception as error:  # noqa: BLE001 - the user has to see every error
        _log.exception("unexpected error")
        failure = Failure(code="Copilot", kind=FailureKind.SYSTEM, message=repr(error))
        code = CopilotError.exit_code
    else:
        _log.info(
            "transfers done",
            extra={
                "blobs": transfers.blob_count,
                "bytes": transfers.byte_count,
                "seconds": round(time.monotonic() - began, 3),
            },
        )
        return 0
    deadline.extend(_ERROR_REPORT_SECONDS)
    try:
        transfers.send_bytes(_error_uri(handoff), documents.render_error(failure))
    except CopilotError as error:
        _log.warning("error.pb not written", extra={"reason": str(error)})
    # Last, because Kubernetes shows the last line as the termination message.
    _log.error("transfers failed", extra={"code": failure.code, "reason": failure.message})
    return code


@contextmanager
def _transfers(handoff: Handoff, deadline: Deadline) -> Iterator[Transfers]:
    connections = Connections(deadline, ca_file=handoff.links.ca_file)
    retries = Retries(deadline, retry_seconds=handoff.seconds.retry)
    with Pool(handoff.parallel, deadline) as pool:
        yield Transfers(_source(handoff, connections), connections, retries, pool)


def _source(handoff: Handoff, connections: Connections) -> UrlSource:
    if handoff.links.file is not None:
        return PresignedUrls(handoff.links.file)
    return EndpointUrls(handoff.links.endpoint, connections, token_file=handoff.links.token_file)


def _error_uri(handoff: Handoff) -> str:
    return f"{handoff.outputs.prefix}/{ERROR_DOCUMENT}"
