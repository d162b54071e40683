"""
The two programs, each built once and run to its exit code.

    0  done; a task's own ``_ERROR`` has been shipped as error.pb
    1  a store, the signer or the time allowed did not suffice; another attempt may do
    2  the handoff makes no sense
    3  the task was given or has left what cannot be taken
    143  told to stop: ``download`` at the first SIGTERM, ``sidecar`` at the second

Whatever goes wrong is written to error.pb if that can be, so that people read a sentence
where the agent sees a number.
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
from dataplane.copilot.inputs import bring_inputs
from dataplane.copilot.outputs import ship_outputs
from dataplane.copilot.pool import Pool
from dataplane.copilot.retries import Retries
from dataplane.copilot.transfers import Transfers
from dataplane.copilot.urls import AskedUrls, FiledUrls, UrlSource
from dataplane.copilot.waiting import End, Signals, await_end, leave
from shared.model.reports import Failure, FailureKind

_log = logging.getLogger(__name__)

ERROR_DOCUMENT = "error.pb"
_LAST_WORDS_SECONDS = 20  # to write error.pb when no time is left


def run_download(last_reported: Handoff) -> int:
    """Bring the inputs; return the exit code."""
    deadline = Deadline(last_reported.seconds.whole)
    Signals(leave).listen()
    with _transfers(last_reported, deadline) as transfers:
        return _concluded(
            last_reported, transfers, deadline, lambda: bring_inputs(last_reported, transfers)
        )


def run_sidecar(last_reported: Handoff) -> int:
    """
    Wait for the task, ship what it left; return the exit code.

    A native sidecar that ends before it is told to is started again, so it stays.
    """
    deadline = Deadline(last_reported.seconds.whole)
    signals = Signals(lambda: deadline.shorten(last_reported.seconds.grace))
    signals.listen()
    with _transfers(last_reported, deadline) as transfers:
        code = _concluded(
            last_reported,
            transfers,
            deadline,
            lambda: _ship(last_reported, transfers, deadline, signals),
        )
    if last_reported.stay:
        signals.first.wait(deadline.left())
    return code


def _ship(
    last_reported: Handoff, transfers: Transfers, deadline: Deadline, signals: Signals
) -> None:
    last_reported.outputs.path.mkdir(parents=True, exist_ok=True)
    end = await_end(
        last_reported.outputs.path,
        signals.first,
        deadline,
        start_seconds=last_reported.seconds.start,
    )
    _log.info("task ended", extra={"known_by": end.name})
    if end is End.ERROR:
        failure = documents.load_task_error(last_reported.outputs.path / documents.ERROR)
        transfers.send_bytes(_error_uri(last_reported), documents.render_error(failure))
    else:
        ship_outputs(last_reported, transfers)


def _concluded(
    last_reported: Handoff, transfers: Transfers, deadline: Deadline, work: Callable[[], None]
) -> int:
    began = time.monotonic()
    try:
        work()
    except CopilotError as error:
        failure, code = error.failure(), error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to read of it
        _log.exception("bug")
        failure = Failure(code="Copilot", kind=FailureKind.SYSTEM, message=repr(error))
        code = CopilotError.exit_code
    else:
        _log.info(
            "done",
            extra={
                "blobs": transfers.blob_count,
                "bytes": transfers.byte_count,
                "seconds": round(time.monotonic() - began, 3),
            },
        )
        return 0
    deadline.extend(_LAST_WORDS_SECONDS)
    try:
        transfers.send_bytes(_error_uri(last_reported), documents.render_error(failure))
    except CopilotError as error:
        _log.warning("cannot write error.pb", extra={"reason": str(error)})
    # Last, because the cluster shows the last line.
    _log.error("failed", extra={"code": failure.code, "reason": failure.message})
    return code


@contextmanager
def _transfers(last_reported: Handoff, deadline: Deadline) -> Iterator[Transfers]:
    connections = Connections(deadline, ca_file=last_reported.links.ca_file)
    retries = Retries(deadline, retry_seconds=last_reported.seconds.timeouts)
    with Pool(last_reported.parallel, deadline) as pool:
        yield Transfers(_source(last_reported, connections), connections, retries, pool)


def _source(last_reported: Handoff, connections: Connections) -> UrlSource:
    if last_reported.links.file is not None:
        return FiledUrls(last_reported.links.file)
    return AskedUrls(
        last_reported.links.endpoint, connections, token_file=last_reported.links.token_file
    )


def _error_uri(last_reported: Handoff) -> str:
    return f"{last_reported.outputs.prefix}/{ERROR_DOCUMENT}"
