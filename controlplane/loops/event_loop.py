"""Measures how late the event loop runs what is due: the saturation of the replica's one thread."""

import asyncio

from prometheus_client import Histogram

EVERY_SECONDS = 0.5

LAG = Histogram(
    "volary_event_loop_lag_seconds",
    "How late the event loop ran a timer, measured twice a second.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=None,  # ``metrics`` registers it
)


async def measure_lag() -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_SECONDS
        await asyncio.sleep(EVERY_SECONDS)
        LAG.observe(max(loop.time() - due, 0))
