"""
What can go wrong, and the exit code it gives.

* CopilotError
    - HandoffError (2): what we were told to do makes no sense; the agent's mistake.
    - UnfitError (3): what the task was given or has left cannot be taken; the user's.
    - TransferError (1): a store or the signer did not do its part.
        - PassingError: it may at the next try.
        - RefusedError: it will not.
            - MissingError: there is no such blob.
    - LateError (1): the time allowed is over.

Anything else is a bug, logged whole, and exits with 1 as well.
"""

from typing import ClassVar

from shared.model.reports import Failure, FailureKind

_THE_SAME_NEXT_TIME = frozenset({"InputInvalid", "InputTooLarge"})


class CopilotError(Exception):
    """The message names the thing and the remedy."""

    exit_code: ClassVar[int] = 1
    code = "CopilotFailed"  # for machines
    recoverable = True  # another attempt may do

    def failure(self) -> Failure:
        """Say it as an attempt's failure."""
        return Failure(
            code=self.code,
            kind=FailureKind.SYSTEM,
            message=str(self),
            recoverable=self.recoverable,
        )


class HandoffError(CopilotError):
    exit_code = 2
    code = "CopilotMisled"
    recoverable = False


class UnfitError(CopilotError):
    """``code`` is ``OutputMissing``, ``OutputInvalid``, ``InputInvalid``, … ."""

    exit_code = 3

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
        self.recoverable = code not in _THE_SAME_NEXT_TIME

    def failure(self) -> Failure:
        return Failure(
            code=self.code,
            kind=FailureKind.USER,
            message=str(self),
            recoverable=self.recoverable,
        )


class TransferError(CopilotError):
    code = "TransferFailed"


class PassingError(TransferError):
    """
    ``after``: the seconds we were asked to wait; None for our own back-off.

    ``tries``: how often this may happen to one transfer; None while there is time.
    """

    def __init__(
        self, message: str, *, after: float | None = None, tries: int | None = None
    ) -> None:
        super().__init__(message)
        self.after = after
        self.tries = tries


class RefusedError(TransferError):
    code = "TransferRefused"
    recoverable = False


class MissingError(RefusedError):
    code = "BlobMissing"


class LateError(CopilotError):
    code = "CopilotLate"
