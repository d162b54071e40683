"""
Runs Authlib's synchronous server on the event loop, without threads.

SQLAlchemy has the bridge: a synchronous function runs in a greenlet, and where a hook of ours
in it has to wait for a coroutine, the greenlet is switched away from.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from sqlalchemy.util import await_only, greenlet_spawn

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def run_in_greenlet(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run a synchronous function that may call :func:`wait_for`."""
    return await greenlet_spawn(function, *args)


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait for a coroutine, in a function that :func:`run_in_greenlet` runs."""
    return await_only(awaitable)
