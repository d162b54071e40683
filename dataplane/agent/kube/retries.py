"""The one place where calls are tried again: what passes is waited for, with jitter."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from dataplane.agent.kube import limits
from dataplane.agent.kube.errors import BusyError, KubeError

_T = TypeVar("_T")
_DOUBLINGS = 10


async def persist(call: Callable[[], Awaitable[_T]], *, timeouts: timedelta | None) -> _T:
    """
    Return what ``call`` returns, asking again while its errors are passing ones.

    The last error is raised once another try would come after ``timeouts`` (None: never).
    The call must be harmless when it is made twice, for a try without an answer may have
    been carried out. A loop of our own: a call that succeeds at once, as they do, costs
    nothing, where a library's took a sixth of all that the agent does.
    """
    clock = asyncio.get_running_loop().time
    began, failures = clock(), 0
    while True:
        try:
            return await call()
        except KubeError as error:
            failures += 1
            pause = _pause(error, failures).total_seconds()
            late = timeouts is not None and clock() - began + pause >= timeouts.total_seconds()
            if late or not error.passing:
                raise
        await asyncio.sleep(pause)


def _pause(error: KubeError, failures: int) -> timedelta:
    """Back off, and no less than the server asks for."""
    doublings = min(failures - 1, _DOUBLINGS)
    longest: timedelta = min(limits.RETRY_AT_MOST, limits.RETRY_FIRST * 2**doublings)
    pause = longest * random.random()  # noqa: S311 - spreads a storm, keeps no secret
    if isinstance(error, BusyError) and error.retry_after is not None:
        pause += min(error.retry_after, limits.RETRY_AFTER_AT_MOST)
    return pause
