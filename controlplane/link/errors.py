"""Maps refusals to the gRPC codes of the link port's unary RPCs."""

import grpc

from controlplane.core.errors import (
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from shared.wire.fields import BadMessageError

_CODES: dict[type[Exception], grpc.StatusCode] = {
    BadMessageError: grpc.StatusCode.INVALID_ARGUMENT,
    ConflictError: grpc.StatusCode.FAILED_PRECONDITION,
    ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    InvalidError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}


def code_of(error: Exception) -> grpc.StatusCode:
    """Return the code of a refusal, by the first of its classes that has one."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
