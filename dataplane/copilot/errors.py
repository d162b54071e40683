"""
Errors of the copilot, with their exit codes.

* CopilotError
    - HandoffError (2): the handoff is invalid; the agent's fault.
    - InvalidDataError (3): the task's inputs or outputs are invalid; the user's fault.
    - TransferError (1): a request to a store or to the signer failed.
        - TransientError: transient; a retry may succeed.
        - TransferRefusedError: permanent.
            - MissingError: the blob does not exist.
    - DeadlineError (1): the deadline has passed.

Any other exception is a bug, logged with its traceback, and exits with 1 as well.
"""

from typing import ClassVar

from shared.model.reports import Failure, FailureKind

_PERMANENT_CODES = frozenset({"InputInvalid", "InputTooLarge"})


class CopilotError(Exception):
    """Base of the copilot's errors; the message names the object and the remedy."""

    exit_code: ClassVar[int] = 1
    code = "CopilotFailed"  # machine-readable, of the failure
    recoverable = True  # another attempt may succeed

    def failure(self) -> Failure:
        """Return the error as the attempt's failure."""
        return Failure(
            code=self.code,
            kind=FailureKind.SYSTEM,
            message=str(self),
            recoverable=self.recoverable,
        )


class HandoffError(CopilotError):
    """The handoff is invalid; the agent's fault."""

    exit_code = 2
    code = "CopilotMisled"
    recoverable = False


class InvalidDataError(CopilotError):
    """Inputs or outputs are invalid; ``code`` is ``OutputMissing``, ``InputInvalid``, … ."""

    exit_code = 3

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
        self.recoverable = code not in _PERMANENT_CODES

    def failure(self) -> Failure:
        return Failure(
            code=self.code,
            kind=FailureKind.USER,
            message=str(self),
            recoverable=self.recoverable,
        )


class TransferError(CopilotError):
    """A request to a store or to the signer failed."""

    code = "TransferFailed"


class TransientError(TransferError):
    """
    Transient failure of a request, to be retried.

    ``after``: seconds to wait, from Retry-After; None for exponential back-off.
    ``tries``: the most tries of one transfer that may fail so; None until the timeout.
    """

    def __init__(
        self, message: str, *, after: float | None = None, tries: int | None = None
    ) -> None:
        super().__init__(message)
        self.after = after
        self.tries = tries


class TransferRefusedError(TransferError):
    """Permanent failure of a request."""

    code = "TransferRefused"
    recoverable = False


class MissingError(TransferRefusedError):
    """The requested blob does not exist."""

    code = "BlobMissing"


class DeadlineError(CopilotError):
    """The program's deadline has passed."""

    code = "CopilotLate"
