"""
Retries transfers, and classifies HTTP statuses as transient or permanent.

The only module that uses tenacity. Callers use a fresh link for each retry: an expired link
is the usual reason of a failure, and a new one is cheap.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from dataplane.copilot.connections import Answer
from dataplane.copilot.deadlines import Deadline
from dataplane.copilot.errors import MissingError, TransferRefusedError, TransientError
from shared.kit.backoff import Backoff

_T = TypeVar("_T")

_REASON_BYTES = 4096
_MAX_RETRY_AFTER_SECONDS = 120.0  # a longer Retry-After is cut to this
_TRIES = 4  # after statuses that a fresh link should fix
_FIXED_BY_FRESH_LINK = frozenset({400, 401, 403})  # some stores answer 400 to an expired token
_BUSY = frozenset({408, 409, 425, 429})
_BACKOFF = Backoff(first=timedelta(milliseconds=200), at_most=timedelta(seconds=15), jitter=0.5)


class Retries:
    """Retries with back-off until ``retry_seconds`` or the deadline have passed."""

    def __init__(self, deadline: Deadline, *, retry_seconds: float) -> None:
        self._deadline = deadline
        self._retry_seconds = retry_seconds

    def run(self, attempt: Callable[[], _T]) -> _T:
        """Return the result of ``attempt``; raise its last TransientError once retries are used up."""
        return self._retrying()(attempt)

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._is_enough,
            wait=_wait,
            sleep=self._deadline.sleep,
            reraise=True,
        )

    def _is_enough(self, state: RetryCallState) -> bool:
        error = _error(state)
        return (
            not self._deadline.left()
            or (state.seconds_since_start or 0) >= self._retry_seconds
            or (error.tries is not None and state.attempt_number >= error.tries)
        )


def raise_for(answer: Answer, failed: str) -> None:
    """Raise the error for a status that is not 2xx; its message begins with ``failed``."""
    status = answer.status
    if 200 <= status < 300:
        return
    message = f"{failed}: {status} {_reason(answer.read(_REASON_BYTES))}".rstrip()
    if status in _FIXED_BY_FRESH_LINK:
        raise TransientError(message, after=0.0, tries=_TRIES)
    if status in _BUSY or status >= 500:
        raise TransientError(message, after=_seconds(answer.header("Retry-After")))
    if status == 404:
        raise MissingError(message)
    raise TransferRefusedError(message)


def _reason(body: bytes) -> str:
    """
    Return the readable part of an error's body, at most 300 characters, without secrets.

    Stores answer a wrong signature with the signed request, tokens included: of XML only
    the code and the message are returned.
    """
    text = " ".join(body.decode(errors="replace").split())
    if text.startswith(("<", "\ufeff<")):
        text = ": ".join(re.findall(r"<(?:Code|Message)>([^<]*)", text))
    return text[:300]


def _wait(state: RetryCallState) -> float:
    after = _error(state).after
    if after is None:
        return _BACKOFF.wait(state)
    # Retry at once with the first fresh link, and with back-off after that.
    return after if after or state.attempt_number == 1 else _BACKOFF.wait(state)


def _error(state: RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, TransientError):
        raise TypeError(f"tenacity retries on {error!r}")
    return error


def _seconds(retry_after: str) -> float | None:
    """Parse a Retry-After in seconds; a date is ignored, because the clocks may differ."""
    text = retry_after.strip()
    return min(float(text), _MAX_RETRY_AFTER_SECONDS) if text.isascii() and text.isdigit() else None
