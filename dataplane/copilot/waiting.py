"""
When the task has ended, and how its end is known.

* SIGTERM: the kubelet sends it to a native sidecar when the task's container has ended,
  and when the pod is deleted; either way there is nothing more to come. A second one means
  that nobody waits for what is still under way: leave at once.
* ``_SUCCESS`` in the output directory: the task says that all outputs are written.
* ``_ERROR``: the task says that it failed; the file says why.
* ``_START``, or any other file: it has begun. Asked for only where there is a start limit.

Marks count when they have their names, so write another name first and rename.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dataplane.copilot.deadlines import Deadline
from dataplane.copilot.documents import ERROR, SUCCESS
from dataplane.copilot.errors import LateError

_log = logging.getLogger(__name__)

_POLL_MS = 1000  # whatever we are told of; a notice may be lost
_STEP_MS = 50
_EXIT_ON_SIGTERM = 128 + signal.SIGTERM


class End(Enum):
    SIGNAL = auto()
    SUCCESS = auto()
    ERROR = auto()


class Signals:
    """SIGTERM and SIGINT as an event; the second leaves the program, with exit code 143."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.first = threading.Event()
        self._on_first = on_first

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - its form
        if self.first.is_set():
            leave()
        self.first.set()
        self._on_first()


def leave() -> NoReturn:
    """End at once, with whatever is under way; the store keeps no half of a blob."""
    os.write(2, b"told to stop; leaving at once\n")
    os._exit(_EXIT_ON_SIGTERM)


def await_end(
    outputs: Path, signalled: threading.Event, deadline: Deadline, *, start_seconds: float
) -> End:
    """Return how the task's end was known; LateError if it does not start or end in time."""
    start = Deadline(start_seconds) if start_seconds else None
    for _ in _wake_ups(outputs, signalled):
        marks = {entry.name for entry in outputs.iterdir()}
        if ERROR in marks:
            return End.ERROR
        if SUCCESS in marks:
            return End.SUCCESS
        deadline.require("waiting for the task to end")
        if start is not None and not marks and not start.left():
            raise LateError(
                f"the task left nothing in {outputs} within {start_seconds:.0f} s of its sidecar's"
                " start; let it write _START when it begins, or allow more"
            )
        if marks:
            start = None
    return End.ERROR if (outputs / ERROR).exists() else End.SIGNAL


def _wake_ups(directory: Path, until: threading.Event) -> Iterator[None]:
    """Give a turn at once, for what happens in the directory, and every second; end by signal."""
    yield
    # Slow to import, and the task may have ended already; the download never waits.
    from watchfiles import watch  # noqa: PLC0415

    for polling in (None, True):
        try:
            yield
            for _ in watch(
                directory,
                watch_filter=None,
                debounce=_STEP_MS,
                step=_STEP_MS,
                stop_event=until,
                rust_timeout=_POLL_MS,
                yield_on_timeout=True,
                recursive=False,
                force_polling=polling,
            ):
                yield
        except OSError as error:  # a node has only so many watches for all its pods
            if polling:
                raise
            _log.warning("cannot watch, polling instead", extra={"reason": str(error)})
        else:
            return
