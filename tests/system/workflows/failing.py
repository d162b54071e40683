"""Ways in which a task's own code fails."""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="failing")
small = flyte.TaskEnvironment(name="small", resources=flyte.Resources(memory="300Mi"))


class TeapotError(ValueError):
    """An error of the user's own."""


@env.task
async def main(words: str) -> str:
    raise TeapotError(words)


@env.task
async def child(words: str) -> str:
    raise TeapotError(words)


@env.task
async def parent(words: str) -> str:
    """Meet the failure of a child as an exception."""
    try:
        return await child(words)
    except flyte.errors.RuntimeUserError as error:
        return f"{type(error).__name__} {error.code}: {error}"


@env.task
async def uncaught(words: str) -> str:
    return await child(words)


@env.task
async def wordy(megabytes: int) -> None:
    raise TeapotError("x" * (megabytes * 1_000_000))


@env.task
async def leaving(code: int) -> None:
    """End the process at once, without a word to the SDK."""
    os._exit(code)


@env.task
async def giving_up() -> None:
    sys.exit(3)


@env.task
async def promising() -> str:
    """Declare an output, end well, and have written none."""
    os._exit(0)


@env.task
async def killed(number: int) -> None:
    os.kill(os.getpid(), number)


@env.task
async def dawdling(pid_file: str) -> None:
    """Wait to be killed from outside; a second attempt has nothing to do."""
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        Path(pid_file).write_text(str(os.getpid()))
        signal.pause()


@small.task
async def hungry() -> int:
    return len(bytearray(2_000_000_000))


@env.task(timeout=timedelta(seconds=2))
async def slow() -> None:
    time.sleep(600)
