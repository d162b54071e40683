"""
Failing tasks: retries with backoff, and an error that the parent catches.

    flyte run examples/failures.py main --times 2       succeeds at the third attempt
    flyte run examples/failures.py main --times 5       retries are exhausted; main catches the error

Each attempt keeps its own error and log, even if a later one succeeds.
"""

import os
from datetime import timedelta

import flyte

env = flyte.TaskEnvironment(name="failures")


class TeapotError(ValueError):
    """A custom error; the waiting parent receives its name and message."""


@env.task(retries=flyte.RetryStrategy(count=2, backoff=flyte.Backoff(base=timedelta(seconds=1))))
async def brew(times: int) -> str:
    attempt = int(os.environ.get("FLYTE_ATTEMPT_NUMBER", "0"))  # counts from 0
    if attempt < times:
        raise TeapotError(f"I am a teapot (attempt {attempt})")
    return f"coffee, at attempt {attempt}"


@env.task
async def main(times: int = 2) -> str:
    try:
        return await brew(times)
    except flyte.errors.RuntimeUserError as error:
        return f"no coffee: {error}"
