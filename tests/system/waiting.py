"""Wait for a fact that nobody hands over: look again until it is one, or its time is up."""

import asyncio
from collections.abc import Callable

import pytest

_LOOK_EVERY = 0.02


async def happens(fact: Callable[[], bool], *, within: float = 30, what: str = "it") -> None:
    """Wait at most ``within`` seconds for ``fact``."""
    try:
        async with asyncio.timeout(within):
            while not fact():
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        pytest.fail(f"{what} did not happen within {within:.0f} s")
