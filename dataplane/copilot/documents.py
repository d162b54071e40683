"""Reads a task's ``_ERROR`` file, and renders error documents for error.pb."""

import json
import os
from pathlib import Path

from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument, ExecutionError

from dataplane.copilot import checks
from shared.model.reports import MAX_MESSAGE_BYTES, Failure, FailureKind

ERROR = "_ERROR"
SUCCESS = "_SUCCESS"
START = "_START"
MARKER_FILES = frozenset({ERROR, SUCCESS, START})
"""Marker files in the output directory, which are not outputs."""

_DEFAULT_CODE = "UserError"
_MAX_CODE_CHARACTERS = 100
_KINDS = {
    FailureKind.USER: ExecutionError.USER,
    FailureKind.SYSTEM: ExecutionError.SYSTEM,
    FailureKind.PREEMPTION: ExecutionError.SYSTEM,
}


def load_task_error(path: Path) -> Failure:
    """
    Read a task's ``_ERROR`` file: plain text, or JSON ``{"message", "code", "recoverable"}``.

    The failure is recoverable unless the file says otherwise.
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
        code=str(fields.get("code") or _DEFAULT_CODE)[:_MAX_CODE_CHARACTERS],
        kind=FailureKind.USER,
        message=str(fields["message"]) or "the task failed; its _ERROR file has no message",
        recoverable=fields.get("recoverable", True) is not False,
    )


def render_error(failure: Failure) -> bytes:
    """Return the failure as a serialised flyteidl2.core.ErrorDocument."""
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
