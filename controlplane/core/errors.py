"""
What the control plane refuses, named for what the caller can do about it.

* RequestError: the request cannot be granted; the message is for the caller.
    - InvalidError: it never could; change the request.
    - NotFoundError: no such thing, or none this caller may know of.
        - QueueNotFoundError: an operator makes the queue.
    - AlreadyExistsError: the name is taken by something else.
    - NotAllowedError: it exists, and this caller may not do that to it.
    - UnauthenticatedError: say who you are first.
    - ConflictError: the world moved on; read again and decide again.
    - NotReadyError: not in the state it takes; the message says which it takes.
    - ExhaustedError: a limit is reached; the same call may work later.
    - UnbuiltError: this release does not do that.
* UnfitDatabaseError: the operator has to change something before this can start.
* UnavailableError: something we need is down; the same call may work later.
    - BusyError: somebody else has locked what it is about; other things can be done meanwhile.

Anything else that reaches ``api`` is a bug: logged whole, answered as INTERNAL.
"""

import shlex
from collections.abc import Sequence


class RequestError(Exception):
    """The request cannot be granted."""


class UnfitDatabaseError(Exception):
    """The database, or a way to it, is not as we need it; the message says what to change."""


class InvalidError(RequestError):
    """It never could; change the request."""


class NotFoundError(RequestError):
    """No such thing, or none this caller may know of."""

    def __init__(
        self,
        kind: str,
        name: object,
        *,
        there_are: Sequence[str] | None = None,
        remedy: str = "",
    ) -> None:
        """``there_are``: the names that would have been found, for who may know them."""
        message = f"{kind} {name} not found"
        if there_are is not None:
            message += f"; there is {', '.join(there_are) or 'none'}"
        if remedy:
            message += f"; {remedy}"
        super().__init__(message)
        self.kind = kind
        self.name = name


class QueueNotFoundError(NotFoundError):
    """No queue of that name; an operator makes one."""

    def __init__(self, name: str) -> None:
        remedy = f"an operator creates it with `volary queue set {shlex.quote(name)}`"
        super().__init__("queue", name, remedy=remedy)


class AlreadyExistsError(RequestError):
    """The name is taken by something else."""


class NotAllowedError(RequestError):
    """It exists, and this caller may not do that to it."""


class UnauthenticatedError(RequestError):
    """Say who you are first."""


class ConflictError(RequestError):
    """The world moved on; read again and decide again."""


class NotReadyError(RequestError):
    """It is not in the state that this takes."""


class ExhaustedError(RequestError):
    """A limit is reached; the same call may work later."""


class UnbuiltError(RequestError):
    """This release does not do that."""


class UnavailableError(Exception):
    """Something we need is down; the same call may work later."""


class BusyError(UnavailableError):
    """
    Another transaction holds a lock on what this is about; the same call may work later.

    It says nothing about other rows: a batch that fails so is tried again one by one.
    """
