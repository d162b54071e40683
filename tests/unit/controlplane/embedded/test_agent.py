"""Embedded agent process: restarts and stops, with a scripted program in the agent's place."""

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
    """A clock that records every sleep in a queue and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: asyncio.Queue[timedelta] = asyncio.Queue()

    async def sleep(self, delay: timedelta) -> None:
        await super().sleep(delay)
        await self.pauses.put(delay)


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


async def started(pid_file: Path) -> int:
    """Wait until the program has written its process id into the pipe ``pid_file``."""
    async with asyncio.timeout(60):
        return int(await asyncio.to_thread(pid_file.read_text))


async def test_agent_restart_backoff_grows_up_to_a_cap() -> None:
    clock = PausingClock()
    agent = AgentProcess(program("raise SystemExit(3)"), clock)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(agent.run())
        pauses = [(await clock.pauses.get()).total_seconds() for _ in range(7)]
        task.cancel()
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]


async def test_agent_process_is_stopped_and_awaited_on_cancellation(tmp_path: Path) -> None:
    pid_file, stopped_file = tmp_path / "pid", tmp_path / "stopped_file"
    os.mkfifo(pid_file)
    text = (
        "import os, signal\n"
        # Not by a handler, which a signal in the moment before a sleep would not call.
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "signal.sigwait({signal.SIGTERM})\n"
        f"open({str(stopped_file)!r}, 'w').write('bye')\n"
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(AgentProcess(program(text), SystemClock()).run())
        pid = await started(pid_file)
        assert os.getsid(pid) != os.getsid(0)  # a Ctrl-C at the terminal does not reach it
        task.cancel()
    assert stopped_file.read_text() == "bye"
    assert not psutil.pid_exists(pid)


async def test_agent_process_is_killed_on_second_cancellation(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    text = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(AgentProcess(program(text), SystemClock()).run())
        pid = await started(pid_file)
        task.cancel()
        await asyncio.sleep(0)  # let the first cancellation arrive
        await asyncio.sleep(0)
        task.cancel()
    assert not psutil.pid_exists(pid)
