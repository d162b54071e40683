"""Runs that fail until a file exists, to be rerun and recovered; a journal has what ran."""

import asyncio
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="recovering")


def write(journal: str, line: str) -> None:
    with Path(journal).open("a") as lines:
        lines.write(f"{line}\n")


@env.task
async def square(journal: str, number: int) -> int:
    """Fail for 7, until a file ``mended`` is next to the journal."""
    write(journal, f"square {number}")
    if number == 7 and not Path(journal).with_name("mended").exists():
        raise ValueError("seven is not squared yet")
    return number * number


@env.task
async def main(journal: str, numbers: list[int]) -> int:
    """Wait for all, because the end of a run aborts what has not ended."""
    write(journal, "main")
    squares = (square(journal, number) for number in numbers)
    total = 0
    for ended in await asyncio.gather(*squares, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
        total += ended
    return total


@flyte.trace
async def step(journal: str, name: str) -> str:
    write(journal, name)
    if name == "second" and not Path(journal).with_name("mended").exists():
        raise ValueError("the second step is not done yet")
    return name.upper()


@env.task
async def stepping(journal: str) -> str:
    return " ".join([await step(journal, name) for name in ("first", "second")])


@env.task
async def asking(journal: str) -> str:
    condition = await flyte.new_condition.aio("approve", prompt="Go on?", data_type=str)
    answer = await condition.wait.aio()
    if not Path(journal).with_name("mended").exists():
        raise ValueError("not mended yet")
    return str(answer)


@env.task
async def starting(journal: str) -> str:
    """Start a run of its own, as tasks do with the library."""
    run = await flyte.run.aio(main, journal=journal, numbers=[2])
    return run.name
