"""Wait for a fact that nobody hands over: look again until it is one, or its time is up."""

import asyncio
from collections.abc import Callable

import pytest

_LOOK_EVERY = 0.02


async def happens(
    fact: Callable[[], bool], *, within: float = 30, otherwise: Callable[[], str] = str
) -> None:
    """Wait at most ``within`` seconds for ``fact``; fail with what ``otherwise`` says."""
    try:
        async with asyncio.timeout(within):
            while not fact():
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        pytest.fail(f"it did not happen within {within:.0f} s: {otherwise()}")
