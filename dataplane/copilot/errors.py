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


class CopilotError(Exception):
    """The message names the thing and the remedy."""

    exit_code: ClassVar[int] = 1

    def failure(self) -> Failure:
        """Say it as an attempt's failure; ours, and worth another attempt, if not overruled."""
        return Failure(
            code=type(self).__name__.removesuffix("Error"),
            kind=FailureKind.SYSTEM,
            message=str(self),
        )


class HandoffError(CopilotError):
    exit_code = 2


class UnfitError(CopilotError):
    """
    ``code`` is for machines: ``OutputMissing``, ``OutputInvalid``, ``InputInvalid``, …

    Another attempt may leave better outputs; it will get the same inputs.
    """

    exit_code = 3

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code

    def failure(self) -> Failure:
        return Failure(
            code=self.code,
            kind=FailureKind.USER,
            message=str(self),
            recoverable=not self.code.startswith("Input"),
        )


class TransferError(CopilotError):
    pass


class PassingError(TransferError):
    """``after``: the seconds we were asked to wait; None for our own back-off."""

    def __init__(self, message: str, *, after: float | None = None, tries: int | None = None):
        super().__init__(message)
        self.after = after
        self.tries = tries  # how often this may happen to one transfer; None: while time lasts


class RefusedError(TransferError):
    pass


class MissingError(RefusedError):
    pass


class LateError(CopilotError):
    pass
