"""A parent that dies after its children have finished, and is started again."""

import asyncio
import os
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="crashing")


@env.task
async def child(journal: str, number: int) -> int:
    with Path(journal).open("a") as lines:
        lines.write(f"child {number}\n")
    return number


@env.task(retries=1)
async def main(journal: str, way: str) -> int:
    """Die in the first attempt by ``exit`` or by ``kill``; the second sums the children up."""
    with Path(journal).open("a") as lines:
        lines.write(f"parent {os.environ['FLYTE_ATTEMPT_NUMBER']}\n")
    numbers = await asyncio.gather(*(child(journal, number) for number in range(3)))
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        if way == "kill":
            os.kill(os.getpid(), 9)
        os._exit(1)
    return sum(numbers)
