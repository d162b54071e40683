"""
How an attempt ended, judged from what is left of it.

The SDK's entry point exits 0 on a user's failure and writes error.pb, so the error is
looked at before the exit code, and the exit code before the outputs. A process that we
killed ended for our reason, whatever it managed to write.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dataplane.agent.core import limits
from shared.model.phases import Phase
from shared.model.reports import MAX_MESSAGE_BYTES, Failure, FailureKind


class KilledFor(StrEnum):
    """Why we killed it."""

    STOPPED = "stopped"
    MAX_RUNTIME = "max_runtime"
    MEMORY = "memory"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the process ended; exactly one of ``code`` and ``signal`` is set."""

    code: int | None = None
    signal: int | None = None
    killed_for: KilledFor | None = None
    max_rss: int = 0  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """What the task wrote into error.pb."""

    code: str
    message: str
    kind: FailureKind
    recoverable: bool
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of an attempt."""

    exit: Exit | None  # None: the process and its keeper vanished
    error: TaskError | None = None
    outputs_missing: bool = False  # declared, and not there
    output_prefix: str
    last_lines: Sequence[str] = ()
    max_runtime_seconds: float | None = None
    memory_limit: int | None = None


CUT_OFF = Failure(
    code="CutOff",
    kind=FailureKind.SYSTEM,
    message="its cluster was cut off from the control plane for long; it may be begun elsewhere",
)

# A signal that the task's own code brings about; any other came from outside.
_CRASHES = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}


def judge(remains: Remains) -> tuple[Phase, Failure | None]:
    """Return the terminal phase and, unless it is SUCCEEDED or ABORTED, why."""
    ended = remains.exit
    if ended is None:
        return Phase.FAILED, Failure(
            code="ProcessLost",
            kind=FailureKind.SYSTEM,
            message="the attempt's process is gone and left no word of how it ended; "
            "the machine was probably restarted, or its keeper was killed",
        )
    match ended.killed_for:
        case KilledFor.STOPPED:
            return Phase.ABORTED, None
        case KilledFor.MAX_RUNTIME:
            return Phase.TIMED_OUT, Failure(
                code="MAX_RUNTIME_EXCEEDED",
                kind=FailureKind.USER,
                message="the task ran longer than its max runtime of "
                f"{remains.max_runtime_seconds:g} s and was killed",
            )
        case KilledFor.MEMORY:
            limit = (remains.memory_limit or 0) / 2**20
            return Phase.FAILED, Failure(
                code="OOMKilled",
                kind=FailureKind.USER,
                message=f"the task used {ended.max_rss / 2**20:.0f} MiB of memory, more than its "
                f"limit of {limit:.0f} MiB, and was killed; ask for more with flyte.Resources"
                "(memory=…)",
            )
        case KilledFor.CUT_OFF:
            return Phase.FAILED, CUT_OFF
        case None:
            return _judge_own_end(remains, ended)


def _judge_own_end(remains: Remains, ended: Exit) -> tuple[Phase, Failure | None]:
    if remains.error is not None:
        error = remains.error
        return Phase.FAILED, Failure(
            code=error.code or "UserError",
            kind=error.kind,
            message=cut_message(error.message, error.uri),
            recoverable=error.recoverable,
            full_uri=error.uri,
        )
    if ended.signal is not None:
        name = signal.Signals(ended.signal).name
        if ended.signal in _CRASHES:
            return Phase.FAILED, Failure(
                code="Crashed",
                kind=FailureKind.USER,
                message=_quoted(f"the task's process crashed with {name}", remains.last_lines),
            )
        return Phase.FAILED, Failure(
            code="Interrupted",
            kind=FailureKind.SYSTEM,
            message=_quoted(
                f"the task's process was killed from outside with {name}", remains.last_lines
            ),
        )
    if ended.code != 0:
        return Phase.FAILED, Failure(
            code="NonZeroExit",
            kind=FailureKind.USER,
            message=_quoted(
                f"the task's process exited with code {ended.code} and left no error.pb",
                remains.last_lines,
            ),
        )
    if remains.outputs_missing:
        return Phase.FAILED, Failure(
            code="OutputsMissing",
            kind=FailureKind.USER,
            message=_quoted(
                "the task declares outputs and exited with code 0, but there is no "
                f"outputs.pb under {remains.output_prefix}",
                remains.last_lines,
            ),
        )
    return Phase.SUCCEEDED, None


def cut_message(message: str, full_uri: str) -> str:
    """Return the message, cut to what a report may carry; the note says where the whole is."""
    raw = message.encode()
    if len(raw) <= MAX_MESSAGE_BYTES:
        return message
    note = f"\n… cut here; all {len(raw)} bytes are in {full_uri}"
    kept = raw[: MAX_MESSAGE_BYTES - len(note.encode())].decode(errors="ignore")
    return kept + note


def _quoted(sentence: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{sentence}; it wrote nothing"
    quoted = "\n".join(lines[-limits.LAST_LINES :])
    room = MAX_MESSAGE_BYTES - len(sentence.encode()) - 40
    kept = quoted.encode()[-room:].decode(errors="ignore")
    return f"{sentence}. Its last lines:\n{kept}"
