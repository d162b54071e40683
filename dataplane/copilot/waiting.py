"""
Waits for the task's end, which is known by a signal or by a marker file.

* SIGTERM: the kubelet sends it to a native sidecar when the task's container has ended,
  and when the pod is deleted; either way no more output follows. At a second signal the
  sidecar exits at once, without finishing transfers.
* ``_SUCCESS`` in the output directory: all outputs are written.
* ``_ERROR``: the task failed; the file contains the reason.
* ``_START``, or any other file: the task has started. Needed only with a start timeout.

Marker files are read as soon as they have their names, so write them under another name
and rename them.
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
from dataplane.copilot.errors import DeadlineError

_log = logging.getLogger(__name__)

_POLL_MS = 1000  # because a file notification may be lost
_STEP_MS = 50
_EXIT_ON_SIGTERM = 128 + signal.SIGTERM


class End(Enum):
    """Indication of the task's end."""

    SIGNAL = auto()
    SUCCESS = auto()
    ERROR = auto()


class Signals:
    """Handler of SIGTERM and SIGINT: the first sets an event, the second exits with code 143."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.first = threading.Event()
        self._on_first = on_first

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        if self.first.is_set():
            leave()
        self.first.set()
        self._on_first()


def leave() -> NoReturn:
    """Exit at once with code 143; a store discards uploads that are not complete."""
    os.write(2, b"terminated by a signal, exiting at once\n")
    os._exit(_EXIT_ON_SIGTERM)


def await_end(
    outputs: Path, signalled: threading.Event, deadline: Deadline, *, start_seconds: float
) -> End:
    """Wait for the task's end, return its indication; DeadlineError if it does not start or end in time."""
    start = Deadline(start_seconds) if start_seconds else None
    for _ in _wake_ups(outputs, signalled):
        marks = {entry.name for entry in outputs.iterdir()}
        if ERROR in marks:
            return End.ERROR
        if SUCCESS in marks:
            return End.SUCCESS
        deadline.require("waiting for the task to end")
        if start is not None and not marks and not start.left():
            raise DeadlineError(
                f"the task wrote nothing to {outputs} within {start_seconds:.0f} s of its sidecar's"
                " start; let it write _START when it starts, or raise the start timeout"
            )
        if marks:
            start = None
    return End.ERROR if (outputs / ERROR).exists() else End.SIGNAL


def _wake_ups(directory: Path, until: threading.Event) -> Iterator[None]:
    """Yield at once, at each change of the directory, and every second, until the signal."""
    yield
    # Imported lazily: slow, and not needed by ``download`` or if the task has ended already.
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
        except OSError as error:  # inotify watches of a node are limited
            if polling:
                raise
            _log.warning("inotify watch failed, polling instead", extra={"reason": str(error)})
        else:
            return
