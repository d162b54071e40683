"""
Errors of the Kubernetes API, by what the caller can do about them.

    KubeError
    ├── NotFoundError       the object or its kind does not exist
    ├── ExistsError         an object of that name exists
    ├── ConflictError       it was changed since it was read: read again
    ├── ExpiredError        the resource version is too old: list again
    ├── InvalidError        the object is invalid: retrying is no use
    ├── ForbiddenError      not allowed: a role has to grant it, or a quota is used up
    ├── UnauthorizedError   the agent's credentials are not accepted
    ├── BusyError           the server is overloaded; ``retry_after`` if it says so
    └── UnreachableError    no answer; the request may have been executed
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from shared.kit.settings import SettingsError


class NoAccessError(SettingsError):
    """No access to a cluster is configured; the message names the remedy."""


class KubeError(Exception):
    """Error of the API: ``code`` is HTTP's (0: no answer), ``reason`` is the Status reason."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({code} {reason})" if code else message)
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def passing(self) -> bool:
        """Whether the error is transient: the same call may succeed a little later."""
        return self.code >= 500


class NotFoundError(KubeError):
    pass


class ExistsError(KubeError):
    pass


class ConflictError(KubeError):
    pass


class ExpiredError(KubeError):
    pass


class InvalidError(KubeError):
    pass


class ForbiddenError(KubeError):
    pass


class UnauthorizedError(KubeError):
    pass


class BusyError(KubeError):
    def __init__(
        self, code: int, reason: str, message: str, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(code, reason, message)
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        return True


class UnreachableError(KubeError):
    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)

    @property
    def passing(self) -> bool:
        return True


_BY_CODE: Mapping[int, type[KubeError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    413: InvalidError,
    422: InvalidError,
}
_BUSY = (429, 503, 504)


def parse_status(status: Mapping[str, Any], *, retry_after: str = "") -> KubeError:
    """Return the error for a ``Status`` object; ``retry_after`` is HTTP's header."""
    code = int(status.get("code") or 0)
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or reason or "the API server gave no reason")
    if code in _BUSY:
        details = status.get("details") or {}
        seconds = retry_after or str(details.get("retryAfterSeconds") or "")
        wait = timedelta(seconds=int(seconds)) if seconds.isdecimal() else None
        return BusyError(code, reason, message, wait)
    if reason == "AlreadyExists":
        return ExistsError(code, reason, message)
    if reason == "Expired":
        return ExpiredError(code, reason, message)
    return _BY_CODE.get(code, KubeError)(code, reason, message)
