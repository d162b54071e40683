"""
Classifies the end of an attempt from its exit status, error.pb and outputs.

The SDK's entry point exits 0 on a user's failure and writes error.pb, so the error is
checked before the exit code, and the exit code before the outputs. A process that the agent
killed ended for the agent's reason, unless it had finished: one that exited with 0 and wrote
its outputs has succeeded, even if it was being stopped. One that crashed by itself after it
had written its outputs has succeeded too: native libraries may abort while the interpreter ends.

Classification is total: an end that matches no rule is a user failure with the raw wait status.
"""

import errno
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from dataplane.agent.core import attempt_limits
from shared.model.phases import Phase
from shared.model.reports import MAX_MESSAGE_BYTES, ClusterEvent, Failure, FailureKind


class KilledFor(StrEnum):
    """Reason why the agent killed the process."""

    STOPPED = "stopped"
    MAX_RUNTIME = "max_runtime"
    MEMORY = "memory"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """Exit status of a process; ``code`` and ``signal`` are None if the kernel gave neither."""

    code: int | None = None
    signal: int | None = None
    wait_status: int | None = None  # as the kernel gave it, if it is neither
    killed_for: KilledFor | None = None
    max_rss: int = 0  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Error that the task wrote into error.pb."""

    code: str
    message: str
    kind: FailureKind
    recoverable: bool
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptArtifacts:
    """Exit status and files that an attempt left; the input of :func:`classify`."""

    exit: Exit | None  # None: the process and its shim vanished
    error: TaskError | None = None
    outputs_missing: bool = False  # declared by the task, but not written
    outputs_written: bool = False  # the SDK wrote outputs.pb, its last step
    output_prefix: str
    last_lines: Sequence[str] = ()
    max_runtime_seconds: float | None = None
    memory_limit: int | None = None
    directory_name: str = ""  # of the attempt's directory, if it lies on the agent's own disk


PROCESS_LOST = "ProcessLost"
CRASHED = "Crashed"

CUT_OFF = Failure(
    code="CutOff",
    kind=FailureKind.SYSTEM,
    message="the agent had no contact with the control plane for too long and stopped the attempt; "
    "it may be retried on another cluster",
)

_NO_ROOM = f"[Errno {errno.ENOSPC}]"  # as Python begins the message of an OSError
_SDK_SYSTEM_ERROR = "RuntimeSystemError"
_REFUSED_CHILD = re.compile(r"Action launch failed \((?:INVALID_ARGUMENT|NOT_FOUND)\)")

# A signal that the task's own code brings about; any other came from outside.
CRASHES = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}

# SIGRTMIN and SIGRTMAX have names and no meaning, as those between them.
_NAMED = frozenset(signal.Signals) - {signal.SIGRTMIN, signal.SIGRTMAX}


def classify(artifacts: AttemptArtifacts) -> tuple[Phase, Failure | None]:
    """Return the terminal phase and, unless it is SUCCEEDED or ABORTED, the failure."""
    ended = artifacts.exit
    if ended is None:
        if _is_proven(artifacts):
            return Phase.SUCCEEDED, None
        if artifacts.error is not None:
            return Phase.FAILED, _failure_of_task(artifacts, artifacts.error)
        return Phase.FAILED, Failure(
            code=PROCESS_LOST,
            kind=FailureKind.SYSTEM,
            message="the attempt's process is gone and left no exit status; the machine was "
            "probably restarted, or the shim that watches the process was killed",
        )
    if ended.killed_for is not None and ended.code == 0 and _is_proven(artifacts):
        return Phase.SUCCEEDED, None  # it finished before the signal took effect
    match ended.killed_for:
        case KilledFor.STOPPED:
            return Phase.ABORTED, None
        case KilledFor.MAX_RUNTIME:
            return Phase.TIMED_OUT, Failure(
                code="MAX_RUNTIME_EXCEEDED",
                kind=FailureKind.USER,
                message="the task ran longer than its max runtime of "
                f"{artifacts.max_runtime_seconds or 0:g} s and was killed",
            )
        case KilledFor.MEMORY:
            limit = (artifacts.memory_limit or 0) / 2**20
            return Phase.FAILED, Failure(
                code="OOMKilled",
                kind=FailureKind.USER,
                message=f"the task used {ended.max_rss / 2**20:.0f} MiB of memory, more than its "
                f"limit of {limit:.0f} MiB, and was killed; ask for more with flyte.Resources"
                "(memory=…)",
            )
        case KilledFor.CUT_OFF:
            return Phase.FAILED, CUT_OFF
        case None if ended.signal in CRASHES and _is_proven(artifacts):
            return Phase.SUCCEEDED, None
        case None:
            return _classify_exit(artifacts, ended)


def _is_proven(artifacts: AttemptArtifacts) -> bool:
    """Whether the task's files prove that it succeeded."""
    return artifacts.outputs_written and artifacts.error is None


def _classify_exit(artifacts: AttemptArtifacts, ended: Exit) -> tuple[Phase, Failure | None]:
    if artifacts.error is not None:
        return Phase.FAILED, _failure_of_task(artifacts, artifacts.error)
    if ended.code is None and ended.signal is None:
        failure: Failure | None = _failure_of_status(ended.wait_status)
    else:
        failure = failure_of_exit(code=ended.code, signal_number=ended.signal)
    if failure is None and artifacts.outputs_missing:
        failure = failure_of_no_outputs(artifacts.output_prefix)
    if failure is None:
        return Phase.SUCCEEDED, None
    return Phase.FAILED, quote(failure, artifacts.last_lines)


def _failure_of_task(artifacts: AttemptArtifacts, error: TaskError) -> Failure:
    """
    Return the failure that error.pb describes, with what it says of the agent's disk.

    A task that finds no room in its attempt's directory, where the SDK unpacks its code before it
    begins, fails for want of the machine's disk, as a pod that is evicted from a full node.
    """
    failure = failure_of_error(error)
    name = artifacts.directory_name
    if not (name and name in error.message and _NO_ROOM in error.message):
        return failure
    return replace(
        failure,
        code="DiskFull",
        kind=FailureKind.SYSTEM,
        message=cut_message(f"the agent's disk is full: {error.message}", error.uri),
        recoverable=True,
    )


def failure_of_error(error: TaskError) -> Failure:
    """
    Return the failure that error.pb describes.

    The SDK reports a child that the control plane refused as a system failure that may be
    retried. The same request would be refused again, so this is a final user failure.
    """
    is_refusal = error.code == _SDK_SYSTEM_ERROR and _REFUSED_CHILD.search(error.message)
    return Failure(
        code=error.code or "UserError",
        kind=FailureKind.USER if is_refusal else error.kind,
        message=cut_message(error.message, error.uri),
        recoverable=error.recoverable and not is_refusal,
        full_uri=error.uri,
    )


def failure_of_exit(*, code: int | None, signal_number: int | None) -> Failure | None:
    """Return the failure of a process without error.pb; None if it exited with 0."""
    if signal_number is not None:
        name = name_signal(signal_number)
        if signal_number not in _NAMED:
            # The kernel never sends these; some program did, most likely the task's own.
            message = f"the task's process was ended by signal {signal_number} ({name})"
            return Failure(code="EndedBySignal", kind=FailureKind.USER, message=message)
        if signal_number in CRASHES:
            message = f"the task's process crashed with {name}"
            return Failure(code=CRASHED, kind=FailureKind.USER, message=message)
        message = f"the task's process was killed from outside with {name}"
        return Failure(code="Interrupted", kind=FailureKind.SYSTEM, message=message)
    if code != 0:
        message = f"the task's process exited with code {code} and left no error.pb"
        return Failure(code="NonZeroExit", kind=FailureKind.USER, message=message)
    return None


def event_of_late_crash(crash: Failure, at: datetime) -> ClusterEvent:
    """Return the event of an attempt that succeeded although its process crashed at its end."""
    return ClusterEvent(
        at=at,
        reason="CrashedAfterOutputs",
        message=f"{crash.message} after it had written its outputs; the attempt has succeeded",
    )


def name_signal(number: int) -> str:
    """Return the signal's name; real-time signals are numbered from SIGRTMIN."""
    if number in _NAMED:
        return signal.Signals(number).name
    if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    return "a signal without a name"


def _failure_of_status(wait_status: int | None) -> Failure:
    known = "nothing" if wait_status is None else f"wait status {wait_status:#x}"
    return Failure(
        code="UnknownEnding",
        kind=FailureKind.USER,
        message=f"the task's process ended with neither an exit code nor a signal ({known})",
    )


def failure_of_no_outputs(output_prefix: str) -> Failure:
    return Failure(
        code="OutputsMissing",
        kind=FailureKind.USER,
        message="the task declares outputs and exited with code 0, but there is no "
        f"outputs.pb under {output_prefix}",
    )


def cut_message(message: str, full_uri: str) -> str:
    """Return the message, cut to MAX_MESSAGE_BYTES; a note names the URI of the whole."""
    raw = message.encode()
    if len(raw) <= MAX_MESSAGE_BYTES:
        return message
    note = f"\n… cut here; all {len(raw)} bytes are in {full_uri}"
    kept = raw[: MAX_MESSAGE_BYTES - len(note.encode())].decode(errors="ignore")
    return kept + note


def quote(failure: Failure, lines: Sequence[str]) -> Failure:
    """Append the last lines of the task's log, within MAX_MESSAGE_BYTES."""
    message = failure.message
    if not lines:
        return replace(failure, message=f"{message}; it wrote nothing")
    quoted = "\n".join(lines[-attempt_limits.LAST_LINES :])
    budget = max(1, MAX_MESSAGE_BYTES - len(message.encode()) - 40)
    kept = quoted.encode()[-budget:].decode(errors="ignore")
    return replace(failure, message=f"{message}. Its last lines:\n{kept}")
