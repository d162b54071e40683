"""Work without end and with processes of its own, to be stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="endless")

_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(3600)
"""


@env.task
async def worker(pids: str, name: str) -> None:
    """Start a process that does not care for SIGTERM, write both pids down, and stay."""
    stubborn = subprocess.Popen([sys.executable, "-c", _STUBBORN])
    Path(pids, name).write_text(f"{os.getpid()} {stubborn.pid}")
    signal.pause()


@env.task
async def main(pids: str) -> None:
    Path(pids, "main").write_text(str(os.getpid()))
    await asyncio.gather(worker(pids, "left"), worker(pids, "right"))


@env.task
async def catching(pids: str) -> str:
    """Survive the abort of a child."""
    try:
        await worker(pids, "only")
    except flyte.errors.ActionAbortedError as error:
        return f"aborted: {error}"
    return "not aborted"


@env.task
async def cancelling(pids: str) -> str:
    """Start a child, see it at work, and want it no longer."""

    async def change_of_mind() -> None:
        while not Path(pids, "only").exists():
            await asyncio.sleep(0.05)
        raise InterruptedError

    try:
        async with asyncio.TaskGroup() as together:
            together.create_task(worker(pids, "only"))
            together.create_task(change_of_mind())
    except* InterruptedError:
        pass
    return "cancelled"
