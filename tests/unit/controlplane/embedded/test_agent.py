"""The agent as a child, with a program in its place that does what the test needs."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import psutil

from controlplane.embedded.agent import AgentProcess
from shared.kit.clock import SystemClock
from tests.fakes.clock import FakeClock


class PausingClock(FakeClock):
    """Hands over every pause that was taken, and takes none."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: asyncio.Queue[timedelta] = asyncio.Queue()

    async def sleep(self, delay: timedelta) -> None:
        await super().sleep(delay)
        await self.pauses.put(delay)


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def started(told: Path) -> int:
    """Wait until the program has written its process id into the pipe ``told``."""
    async with asyncio.timeout(60):
        return int(await asyncio.to_thread(told.read_text))


async def test_the_pause_before_another_agent_grows_to_a_bound() -> None:
    clock = PausingClock()
    agent = AgentProcess(program("raise SystemExit(3)"), clock)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(agent.run())
        pauses = [(await clock.pauses.get()).total_seconds() for _ in range(7)]
        task.cancel()
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]


async def test_cancelling_stops_the_agent_and_waits_for_it(tmp_path: Path) -> None:
    told, farewell = tmp_path / "pid", tmp_path / "farewell"
    os.mkfifo(told)
    text = (
        "import os, signal\n"
        # Not by a handler, which a signal in the moment before a sleep would not call.
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        f"open({str(told)!r}, 'w').write(str(os.getpid()))\n"
        "signal.sigwait({signal.SIGTERM})\n"
        f"open({str(farewell)!r}, 'w').write('bye')\n"
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(AgentProcess(program(text), SystemClock()).run())
        pid = await started(told)
        assert os.getsid(pid) != os.getsid(0)  # a Ctrl-C at the terminal does not reach it
        task.cancel()
    assert farewell.read_text() == "bye"
    assert not psutil.pid_exists(pid)


async def test_asked_a_second_time_it_kills_an_agent_that_does_not_stop(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    text = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(told)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(AgentProcess(program(text), SystemClock()).run())
        pid = await started(told)
        task.cancel()
        await asyncio.sleep(0)  # the first wish is taken note of
        await asyncio.sleep(0)
        task.cancel()
    assert not psutil.pid_exists(pid)
