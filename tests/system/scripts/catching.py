"""Look a deployed task up, run it, and print the failure that it comes to."""

import asyncio
import sys

import flyte
import flyte.errors
import flyte.remote

endpoint, name, words = sys.argv[1:]


async def main() -> None:
    await flyte.init.aio(
        endpoint=endpoint, insecure=True, project="flytesnacks", domain="development"
    )
    task = flyte.remote.Task.get(name, auto_version="latest")
    run = await flyte.run.aio(task, words=words)
    await run.wait.aio()
    print("phase", run.phase)
    try:
        print("outputs", await run.outputs.aio())
    except Exception as error:  # noqa: BLE001 -- to see which
        print("caught", type(error).__name__, error)
    details = await run.details.aio()
    print("error", details.action_details.error_info)


asyncio.run(main())
