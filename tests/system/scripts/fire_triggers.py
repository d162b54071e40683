"""Run each trigger of a task by hand, as it was deployed, and print the runs."""

import asyncio
import sys

import flyte
import flyte.remote

endpoint, task = sys.argv[1:]


async def main() -> None:
    await flyte.init.aio(
        endpoint=endpoint, insecure=True, project="flytesnacks", domain="development"
    )
    async for trigger in flyte.remote.Trigger.listall.aio(task_name=task):
        run = await flyte.run.aio(trigger)
        print(trigger.name, run.name)


asyncio.run(main())
