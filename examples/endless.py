"""
Tasks that never end: abort one action, or the whole run.

    flyte run examples/endless.py main
    flyte abort run RUN --reason "enough"

Aborting a run stops its child actions too; each task's processes are killed as a group.
"""

import asyncio
import itertools

import flyte

env = flyte.TaskEnvironment(name="endless")


@env.task
async def tick(name: str) -> None:
    for number in itertools.count():
        print(f"{name} {number}", flush=True)
        await asyncio.sleep(1)


@env.task
async def main() -> None:
    await asyncio.gather(tick("left"), tick("right"))
