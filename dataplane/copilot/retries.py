"""
What is tried again, how often and when; and what an answer's status means for that.

The only module that knows tenacity. Each try after the first is made with a fresh link by
those who call: an expired one is the usual reason, and asking costs little.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential_jitter,
)

from dataplane.copilot.connections import Answer
from dataplane.copilot.deadlines import Deadline
from dataplane.copilot.errors import MissingError, PassingError, RefusedError

_T = TypeVar("_T")

_REASON_BYTES = 4096
_MOST_SECONDS = 120.0  # a Retry-After beyond this is not kept
_TRIES = 4  # of what a fresh link should have mended
_MENDED_BY_A_LINK = frozenset({400, 401, 403})  # some stores say 400 to an expired token
_BUSY = frozenset({408, 409, 425, 429})
_back_off = wait_exponential_jitter(multiplier=0.2, max=15, jitter=0.5)


class Retries:
    """Tries until ``retry_seconds`` of failing are over, or the deadline is."""

    def __init__(self, deadline: Deadline, *, retry_seconds: float) -> None:
        self._deadline = deadline
        self._retry_seconds = retry_seconds

    def run(self, attempt: Callable[[], _T]) -> _T:
        """Return what ``attempt`` returns; the last PassingError when that is enough."""
        return self._retrying()(attempt)

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(PassingError),
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
    """Raise what the status says, if it does not say that all is well; ``failed`` begins it."""
    status = answer.status
    if 200 <= status < 300:
        return
    message = f"{failed}: {status} {_reason(answer.read(_REASON_BYTES))}".rstrip()
    if status in _MENDED_BY_A_LINK:
        raise PassingError(message, after=0.0, tries=_TRIES)
    if status in _BUSY or status >= 500:
        raise PassingError(message, after=_seconds(answer.header("Retry-After")))
    if status == 404:
        raise MissingError(message)
    raise RefusedError(message)


def _reason(body: bytes) -> str:
    """
    Return what a person can use of an error's body.

    Stores answer a wrong signature with all that was signed, tokens included: of XML only
    the code and the message are taken.
    """
    text = " ".join(body.decode(errors="replace").split())
    if text.startswith(("<", "\ufeff<")):
        text = ": ".join(re.findall(r"<(?:Code|Message)>([^<]*)", text))
    return text[:300]


def _wait(state: RetryCallState) -> float:
    after = _error(state).after
    if after is None:
        return _back_off(state)
    # The first fresh link is tried at once; if that does not help, haste will not either.
    return after if after or state.attempt_number == 1 else _back_off(state)


def _error(state: RetryCallState) -> PassingError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, PassingError):
        raise TypeError(f"tenacity tries {error!r} again")
    return error


def _seconds(retry_after: str) -> float | None:
    """Take seconds; a date would need a clock that agrees with theirs."""
    text = retry_after.strip()
    return min(float(text), _MOST_SECONDS) if text.isascii() and text.isdigit() else None
