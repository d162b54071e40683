"""
Runs tasks in this process, and reports them as a tracked run.

tracked.py ENDPOINT NAME [PATH]: with a path, waits in a task until a file is there.
"""

import asyncio
import sys
from pathlib import Path

import flyte
import flyte.report

env = flyte.TaskEnvironment(name="tracked", cache="disable")
tries: list[int] = []


@flyte.trace
async def tenfold(number: int) -> int:
    return number * 10


@env.task
async def child(number: int) -> int:
    return await tenfold(number) + 1


@env.task(retries=2)
async def flaky() -> str:
    tries.append(1)
    if len(tries) < 2:
        raise RuntimeError("not at first")
    return "at last"


@env.task(report=True)
async def reporting() -> None:
    for number in range(3):
        await flyte.report.replace.aio(f"<h1>version {number}</h1>", do_flush=True)


@env.task
async def waiting(path: str) -> None:
    while not await asyncio.to_thread(Path(path).exists):
        await asyncio.sleep(0.05)


@env.task
async def main(path: str) -> list[int]:
    with flyte.group("fan"):
        numbers = await asyncio.gather(*(child(number) for number in range(3)))
    await reporting()
    await flaky()
    if path:
        await waiting(path)
    return list(numbers)


if __name__ == "__main__":
    endpoint, name, *path = sys.argv[1:]
    flyte.init(
        endpoint=endpoint, insecure=True, project="flytesnacks", domain="development", org="local"
    )
    run = flyte.with_runcontext(mode="local", name=name, tracked=True, tracked_strict=True).run(
        main, path="".join(path)
    )
    print(f"Ended: {run.outputs()}")
