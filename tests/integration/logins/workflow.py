"""A workflow with what tasks do through the API, and a client that runs a task of it by name."""

import asyncio
import json
import os
import sys
from pathlib import Path

import flyte
import flyte.io
import flyte.remote

env = flyte.TaskEnvironment("logins")
secretive = flyte.TaskEnvironment(
    "secretive", secrets=[flyte.Secret("password", as_env_var="PASSWORD")]
)


@env.task
async def double(x: int) -> int:
    return 2 * x


@secretive.task
async def read_secret() -> int:
    return len(os.environ["PASSWORD"])


@env.task
async def read_file(file: flyte.io.File) -> int:
    async with file.open("rb") as content:
        return len(await content.read())


@flyte.trace
async def note(x: int) -> int:
    return x + 1


@env.task
async def whole(n: int) -> int:
    """Fan out, nest, trace, and pass a file and a secret: n(n-1) + 5 + 8 + 1."""
    doubled = await asyncio.gather(*(double(x) for x in range(n)))
    local = Path("file.txt")
    local.write_text("hello")
    file = await flyte.io.File.from_local(str(local))
    return await note(sum(doubled) + await read_file(file) + await read_secret())


@env.task
async def spawn(n: int) -> int:
    run = await flyte.run.aio(double, x=n)
    await run.wait.aio(quiet=True)
    output, *_ = await run.outputs.aio()
    return int(output)


@env.task
async def leak(n: int) -> int:
    """Hand the token of this attempt to the test, and run a child when the test says so."""
    token = Path(json.loads(os.environ["FLYTE_AUTH_COMMAND"])[1])
    go = Path(os.environ["GO"])
    leaked = go.with_name("leaked")
    part = go.with_name("leaked.part")
    part.write_text(json.dumps({"token": token.read_text(), "mode": token.stat().st_mode & 0o777}))
    part.rename(leaked)
    while not go.exists():
        await asyncio.sleep(0.05)
    return await double(n)


if __name__ == "__main__":
    flyte.init_from_config(sys.argv[1], project="flytesnacks", domain="development")
    task, number, variables = sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    run = flyte.with_runcontext(name=f"run-{task}", env_vars=variables).run(
        globals()[task], n=number
    )
    run.wait(quiet=True)
    print("outputs", list(run.outputs()))
