"""Results of sending a webhook or a mail."""

from dataclasses import dataclass
from datetime import timedelta

MAX_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    Result of one try.

    ``is_final``: another try has the same result. ``status``: the HTTP or SMTP answer, 0 without
    one. ``retry_after``: the receiver asked to wait so long.
    """

    is_delivered: bool
    is_final: bool = False
    status: int = 0
    error: str = ""
    retry_after: timedelta | None = None


def refused(error: str, *, status: int = 0) -> Sent:
    """Return the result of a try that cannot succeed."""
    return Sent(is_delivered=False, is_final=True, status=status, error=error[:MAX_ERROR])


def failed(error: str, *, status: int = 0, retry_after: timedelta | None = None) -> Sent:
    """Return the result of a try that may succeed later."""
    return Sent(is_delivered=False, status=status, error=error[:MAX_ERROR], retry_after=retry_after)
