"""The one place where calls are tried again: what passes is waited for, with jitter."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import tenacity

from dataplane.agent.kube import limits
from dataplane.agent.kube.errors import BusyError, KubeError

_T = TypeVar("_T")


async def persist(call: Callable[[], Awaitable[_T]], *, patience: timedelta | None) -> _T:
    """
    Return what ``call`` returns, asking again while its errors are passing ones.

    After ``patience`` (None: never) the last error is raised. The call must be harmless when
    it is made twice, for a try without an answer may have been carried out.
    """
    stop = (
        tenacity.stop_never
        if patience is None
        else tenacity.stop_before_delay(patience.total_seconds())
    )
    trials = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, KubeError) and error.passing
        ),
        wait=_wait,
        stop=stop,
        reraise=True,
    )

    async def once() -> _T:  # tenacity awaits only what says that it is a coroutine function
        return await call()

    return await trials(once)


_backing_off = tenacity.wait_random_exponential(
    multiplier=limits.RETRY_FIRST.total_seconds(), max=limits.RETRY_AT_MOST.total_seconds()
)


def _wait(state: tenacity.RetryCallState) -> float:
    """Back off, and no less than the server asks for."""
    pause = _backing_off(state)
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, BusyError) and error.retry_after is not None:
        asked = min(error.retry_after, limits.RETRY_AFTER_AT_MOST)
        return asked.total_seconds() + pause
    return pause
