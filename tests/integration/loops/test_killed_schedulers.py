"""Schedulers of triggers as processes, one of which is killed amid its work."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from tests.integration.api.client import ApiUnderTest
from tests.integration.api.triggers import deploy_scheduled, of_task
from tests.integration.loops.scheduling import (
    SetClock,
    api,
    clock,
    first_instant,
    instants,
    make,
    rows,
)

__all__ = ["api", "clock"]

ROOT = Path(__file__).parents[3]
TASKS, OF_A_TASK = 20, 50


async def start(url: str, api: ApiUnderTest, clock: SetClock) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.loops.scheduler_process"),
        *(url, api.blobs.base, clock.time.isoformat()),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def read(process: asyncio.subprocess.Process, *, lines: int) -> bytes:
    """Return the last of so many lines; b"" at the end."""
    assert process.stdout is not None
    line = b""
    async with asyncio.timeout(60):
        for _ in range(lines):
            line = await process.stdout.readline()
            if line in (b"", b"done\n"):
                return line
    return line


async def test_each_instant_starts_one_run_when_a_replica_is_killed_amid_a_thousand(
    api: ApiUnderTest, clock: SetClock, database_url: str
) -> None:
    for number in range(TASKS):
        triggers = (of_task(f"t{each}") for each in range(OF_A_TASK))
        await api.tasks.deploy_task(deploy_scheduled(*triggers, name=f"env.task{number}"))
    clock.time = await first_instant(api) + timedelta(seconds=1)
    killed, other = await asyncio.gather(*(start(database_url, api, clock) for _ in range(2)))
    try:
        assert await read(killed, lines=150) == b"built\n"  # in its second page
        killed.kill()
        await killed.wait()
        assert await read(other, lines=TASKS * OF_A_TASK + 1) == b"done\n"
    finally:
        for process in (killed, other):
            if process.returncode is None:
                process.kill()
                await process.wait()
    await make(api, clock).run_once()  # what the killed one had locked when the other looked

    found = await instants(api)
    assert len(found) == TASKS * OF_A_TASK
    assert set(found.values()) == {1}
    [(firings, dispatches)] = await rows(
        api,
        "SELECT (SELECT count(*) FROM trigger_firings), (SELECT count(*) FROM dispatches)",
    )
    assert firings == dispatches == TASKS * OF_A_TASK
