"""
Maps errors to Connect codes; any other exception is a bug: the caller gets a request id only.

The SDK in a pod acts on codes: ABORTED, INVALID_ARGUMENT and NOT_FOUND fail the action it
enqueued, RESOURCE_EXHAUSTED makes it wait without a limit, and it retries most others.
"""

import logging

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    QueueNotFoundError,
    UnauthenticatedError,
    UnavailableError,
    UnbuiltError,
)

logger = logging.getLogger(__name__)

CODES: dict[type[Exception], Code] = {
    AlreadyExistsError: Code.ALREADY_EXISTS,
    ConflictError: Code.ABORTED,
    ExhaustedError: Code.RESOURCE_EXHAUSTED,
    InvalidError: Code.INVALID_ARGUMENT,
    NotAllowedError: Code.PERMISSION_DENIED,
    NotFoundError: Code.NOT_FOUND,
    NotReadyError: Code.FAILED_PRECONDITION,
    QueueNotFoundError: Code.NOT_FOUND,
    TimeoutError: Code.DEADLINE_EXCEEDED,
    UnauthenticatedError: Code.UNAUTHENTICATED,
    UnavailableError: Code.UNAVAILABLE,
    UnbuiltError: Code.UNIMPLEMENTED,
}


def answer_for(error: Exception, *, rpc: str, request_id: str) -> ConnectError:
    """Return the Connect error for a call that raised ``error``; log it if it is a bug."""
    if isinstance(error, ConnectError):
        return error
    for kind in type(error).__mro__:
        if kind in CODES:
            return ConnectError(CODES[kind], str(error) or "the call took too long; try again")
    logger.error("call failed", exc_info=error, extra={"rpc": rpc, "request_id": request_id})
    return ConnectError(
        Code.INTERNAL, f"internal error; give your operator the request id {request_id}"
    )
