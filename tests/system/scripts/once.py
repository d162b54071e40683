"""Start a task once for a key, as a receiver of webhooks does, and print which calls started a run."""

import asyncio
import sys

import flyte
import flyte.remote
from flyte.extras.webhooks import run_once

endpoint, name, key = sys.argv[1:]


async def main() -> None:
    await flyte.init.aio(
        endpoint=endpoint, insecure=True, project="flytesnacks", domain="development"
    )
    task = flyte.remote.Task.get(name, auto_version="latest")
    found = [await run_once.aio(task, key=key, name="Ada") for _ in range(2)]
    other = await run_once.aio(task, key=f"{key}-other", name="Ada")
    print("created", [each.created for each in (*found, other)])
    print("same run", found[0].run.name == found[1].run.name)


asyncio.run(main())
