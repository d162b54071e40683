"""Retries calls with transient errors; no other module retries single calls."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.errors import BusyError, KubeError
from shared.kit.backoff import Backoff

_T = TypeVar("_T")
_BACKOFF = Backoff(first=client_limits.RETRY_FIRST, at_most=client_limits.RETRY_AT_MOST)


async def call_with_retries(
    call: Callable[[], Awaitable[_T]], *, retry_timeout: timedelta | None
) -> _T:
    """
    Return the result of ``call``, retrying while its errors are transient (``passing``).

    The last error is raised once another try would come after ``retry_timeout`` (None: never).
    The call must be idempotent, for a try without an answer may have been executed. This is
    no library's loop: calls usually succeed at once and then it costs nothing, while a
    library's took a sixth of the agent's CPU time.
    """
    clock = asyncio.get_running_loop().time
    began, failures = clock(), 0
    while True:
        try:
            return await call()
        except KubeError as error:
            failures += 1
            pause = _pause(error, failures).total_seconds()
            late = (
                retry_timeout is not None
                and clock() - began + pause >= retry_timeout.total_seconds()
            )
            if late or not error.passing:
                raise
        await asyncio.sleep(pause)


def _pause(error: KubeError, failures: int) -> timedelta:
    """Return the backoff with jitter, plus the server's Retry-After."""
    pause = _BACKOFF.delay(failures)
    if isinstance(error, BusyError) and error.retry_after is not None:
        pause += min(error.retry_after, client_limits.RETRY_AFTER_AT_MOST)
    return pause
