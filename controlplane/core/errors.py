"""
Errors of the control plane, named for the caller's remedy.

* RequestError: the request cannot be granted; the message is for the caller.
    - InvalidError: the request is malformed; change it.
    - NotFoundError: the object does not exist, or this caller may not know of it.
        - QueueNotFoundError: an operator creates the queue.
    - AlreadyExistsError: another object has this name.
    - NotAllowedError: the caller lacks the permission.
    - UnauthenticatedError: the caller has not authenticated.
    - ConflictError: the object's state changed; read it again and decide again.
    - NotReadyError: the object is in the wrong state; the message names the right one.
    - ExhaustedError: a limit is reached; the same call may work later.
        - QuotaExceededError: a quota of the org or a project; it may say when.
    - UnbuiltError: this release does not implement the call.
* UnfitDatabaseError: the operator has to change something before this can start.
* UnavailableError: a dependency is down; the same call may work later.
    - BusyError: another transaction holds the lock; calls on other rows still work.

Any other exception that reaches ``api`` is a bug: logged with its traceback, answered as
INTERNAL.
"""

import shlex
from collections.abc import Sequence
from datetime import timedelta


class RequestError(Exception):
    """The request cannot be granted."""


class UnfitDatabaseError(Exception):
    """The database or one of its addresses is unusable; the message says what to change."""


class InvalidError(RequestError):
    """The request is malformed; change it."""


class NotFoundError(RequestError):
    """The object does not exist, or this caller may not know of it."""

    def __init__(
        self,
        kind: str,
        name: object,
        *,
        there_are: Sequence[str] | None = None,
        remedy: str = "",
    ) -> None:
        """Build the message; ``there_are`` lists existing names, if the caller may see them."""
        message = f"{kind} {name} not found"
        if there_are is not None:
            message += f"; there is {', '.join(there_are) or 'none'}"
        if remedy:
            message += f"; {remedy}"
        super().__init__(message)
        self.kind = kind
        self.name = name


class QueueNotFoundError(NotFoundError):
    """No queue has that name; an operator creates queues."""

    def __init__(self, name: str) -> None:
        remedy = f"an operator creates it with `volary queue set {shlex.quote(name)}`"
        super().__init__("queue", name, remedy=remedy)


class AlreadyExistsError(RequestError):
    """Another object has this name."""


class NotAllowedError(RequestError):
    """The caller lacks the permission for this."""


class UnauthenticatedError(RequestError):
    """The caller has not authenticated."""


class ConflictError(RequestError):
    """The object's state changed meanwhile; read it again and decide again."""


class NotReadyError(RequestError):
    """The object is not in the state that the call requires."""


class ExhaustedError(RequestError):
    """A limit is reached; the same call may work later."""


class QuotaExceededError(ExhaustedError):
    """A quota of the org or a project is used up."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        """Build the error; ``retry_after``: the same call may work after that."""
        super().__init__(message)
        self.retry_after = retry_after


class UnbuiltError(RequestError):
    """This release does not implement the call."""


class UnavailableError(Exception):
    """A dependency is down; the same call may work later."""


class BusyError(UnavailableError):
    """
    Another transaction holds a lock on the rows in question; the same call may work later.

    Other rows may be free: a batch that fails with this is retried one by one.
    """
