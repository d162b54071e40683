"""Retries: each attempt fails in its own words until one succeeds, or none is left."""

import os

import flyte

env = flyte.TaskEnvironment(name="retrying")


@env.task(retries=2)
async def main(failures: int) -> str:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    print(f"attempt {attempt}")
    if attempt < failures:
        raise ValueError(f"attempt {attempt} is not the one")
    return f"attempt {attempt}"


@env.task(retries=2)
async def hopeless() -> None:
    raise flyte.errors.NonRecoverableError("never again")
