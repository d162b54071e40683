"""Run a trigger by hand, with an input of its own, and print the run."""

import asyncio
import sys
from datetime import UTC, datetime

import flyte
import flyte.remote

endpoint, task, name = sys.argv[1:]


async def main() -> None:
    await flyte.init.aio(
        endpoint=endpoint, insecure=True, project="flytesnacks", domain="development"
    )
    trigger = await flyte.remote.Trigger.get.aio(name=name, task_name=task)
    run = await flyte.run.aio(trigger, when=datetime(2026, 1, 31, 12, tzinfo=UTC))
    print("Created Run:", run.name)


asyncio.run(main())
