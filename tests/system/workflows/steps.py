"""Traces: steps inside a task that a second attempt takes from where they were written."""

import os
import signal
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="steps")


@flyte.trace
async def costly(journal: str, step: str) -> str:
    with Path(journal).open("a") as lines:
        lines.write(f"{step}\n")
    return step.upper()


@env.task(retries=1)
async def main(journal: str) -> str:
    done = [await costly(journal, step) for step in ("one", "two")]
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return " ".join(done)


@flyte.trace
async def hopeless(step: str) -> str:
    raise LookupError(f"no {step} here")


@env.task
async def failing() -> str:
    try:
        return await hopeless("step")
    except LookupError as error:
        return f"caught: {error}"
