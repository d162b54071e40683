"""Error documents: what a task says in ``_ERROR``, and what goes to error.pb."""

import json
import os
from pathlib import Path

from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument, ExecutionError

from dataplane.copilot import checks
from shared.model.reports import MAX_MESSAGE_BYTES, Failure, FailureKind

ERROR = "_ERROR"
SUCCESS = "_SUCCESS"
START = "_START"
MARKS = frozenset({ERROR, SUCCESS, START})
"""Files in the output directory that are no outputs."""

_USUAL_CODE = "UserError"
_MAX_CODE_CHARACTERS = 100
_KINDS = {
    FailureKind.USER: ExecutionError.USER,
    FailureKind.SYSTEM: ExecutionError.SYSTEM,
    FailureKind.PREEMPTION: ExecutionError.SYSTEM,
}


def load_task_error(path: Path) -> Failure:
    """
    Read a task's ``_ERROR``: a text, or ``{"message", "code", "recoverable"}`` as JSON.

    It is worth another attempt unless it says otherwise.
    """
    size = path.lstat().st_size
    with checks.opened(path, size) as file:
        text = os.pread(file, MAX_MESSAGE_BYTES, 0).decode(errors="replace").strip()
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or "message" not in fields:
        fields = {"message": text}
    return Failure(
        code=str(fields.get("code") or _USUAL_CODE)[:_MAX_CODE_CHARACTERS],
        kind=FailureKind.USER,
        message=str(fields["message"]) or "the task says that it failed, and not why",
        recoverable=fields.get("recoverable", True) is not False,
    )


def render_error(failure: Failure) -> bytes:
    """Return a flyteidl2.core.ErrorDocument."""
    message = failure.message.encode()[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    document = ErrorDocument(
        error=ContainerError(
            code=failure.code,
            message=message,
            kind=(
                ContainerError.RECOVERABLE
                if failure.recoverable
                else ContainerError.NON_RECOVERABLE
            ),
            origin=_KINDS[failure.kind],
        )
    )
    return bytes(document.SerializeToString())
