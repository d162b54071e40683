"""
Work that begins, waits for a gate to open, and ends: time to kill something meanwhile.

The first child waits for nothing, and so is over by then.
"""

import asyncio
import os
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="gated")


def note(place: str, line: str) -> None:
    with Path(place, "journal").open("a") as lines:
        lines.write(f"{line}, attempt {os.environ['FLYTE_ATTEMPT_NUMBER']}\n")


@env.task
async def child(place: str, number: int) -> int:
    note(place, f"begin {number}")
    while number > 0 and not Path(place, "gate").exists():
        await asyncio.sleep(0.05)
    note(place, f"end {number}")
    return number


@env.task
async def main(place: str, children: int) -> int:
    note(place, "begin main")
    numbers = await asyncio.gather(*(child(place, number) for number in range(children)))
    note(place, "end main")
    return sum(numbers)
