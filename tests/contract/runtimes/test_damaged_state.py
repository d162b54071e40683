"""State of one attempt that cannot be read, or a shim that does not answer: its own fault only."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.runtimes.process.directory import AttemptDirectory
from dataplane.agent.runtimes.process.process_identity import (
    Identity,
    read_boot_id,
    read_started_ticks,
)
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.process.secrets import ProcessSecrets
from dataplane.agent.runtimes.protocol import Job
from shared.model.phases import Phase
from tests.contract.runtimes.conftest import Bench, Reported
from tests.integration.agent.world import is_running, until
from tests.unit.agent.assignments import make_assignment, make_job

pytestmark = pytest.mark.parametrize("bench", ["process"], indirect=True)

TIMEOUT_SECONDS = 20


def _fill(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def _make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _make_directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _make_loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path)


DAMAGES = {
    "garbage": _fill(b"garbage\n"),
    "empty": _fill(b""),
    "no-text": _fill(b"\xff\x00\xfe"),
    "list": _fill(b"[1, 2]"),
    "other-object": _fill(b'{"code": "x", "pid": "y"}'),
    "pid-of-nothing": _fill(b'{"pid": -1, "started_ticks": 1, "boot_id": "b", "code": 1.5}'),
    "deep": _fill(b"[" * 100_000),
    "pipe": _make_pipe,
    "directory": _make_directory,
    "loop": _make_loop,
}


def process(bench: Bench) -> ProcessRuntime:
    assert isinstance(bench.runtime, ProcessRuntime)
    return bench.runtime


def shell(bench: Bench, script: str, number: int = 7) -> Job:
    base = bench.short.assignment.run_base.partition("/blobs")[0] + "/blobs"
    return make_job(make_assignment(number, base=base), args=("sh", "-c", script))


async def _begin_and_let_go(bench: Bench, last_reported: Reported) -> AttemptDirectory:
    """Start an attempt under an agent that ends."""
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(bench.runtime.run(bench.endless, last_reported, asyncio.Event()))
        while (await last_reported.update.get()).phase is not Phase.RUNNING:
            pass
        run.cancel()
    return process(bench).directory(bench.endless.assignment.attempt)


def _shim_of(directory: AttemptDirectory) -> Identity:
    shim = directory.find_shim()
    assert shim is not None
    return shim


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_unreadable_claim_ends_its_attempt_and_is_quarantined(
    bench: Bench, last_reported: Reported, damage: Callable[[Path], None]
) -> None:
    directory = await _begin_and_let_go(bench, last_reported)
    shim = _shim_of(directory)
    damage(directory.path / "shim.json")

    for _ in range(2):  # the second agent finds what the first left behind
        async with asyncio.timeout(TIMEOUT_SECONDS):
            end = await bench.another().run(
                replace(bench.endless, last_reported=Phase.RUNNING), last_reported, asyncio.Event()
            )
        assert end.failure is not None
        assert end.failure.code == "StateUnreadable"
        assert "shim.json" in end.failure.message
        assert not is_running(shim.pid)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_unreadable_exit_fails_its_attempt(
    bench: Bench, last_reported: Reported, damage: Callable[[Path], None]
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await bench.runtime.run(bench.short, last_reported, asyncio.Event())
    directory = process(bench).directory(bench.short.assignment.attempt)
    damage(directory.path / "exit.json")

    end = await bench.another().run(
        replace(bench.short, last_reported=Phase.RUNNING), last_reported, asyncio.Event()
    )
    assert end.failure is not None
    assert end.failure.code == "StateUnreadable"
    assert "exit.json" in end.failure.message


async def test_unreadable_exit_does_not_undo_a_success(
    bench: Bench, last_reported: Reported
) -> None:
    prefix = bench.short.assignment.output_prefix.removeprefix("file://")
    job = shell(bench, f"touch {prefix}/outputs.pb", number=1)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await bench.runtime.run(job, last_reported, asyncio.Event())
    directory = process(bench).directory(bench.short.assignment.attempt)
    (directory.path / "exit.json").write_bytes(b"")

    end = await bench.another().run(
        replace(bench.short, last_reported=Phase.RUNNING), last_reported, asyncio.Event()
    )
    assert end.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("name", ["shim.json", "exit.json"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_sweep_quarantines_unreadable_state_and_ends_the_attempt(
    bench: Bench, last_reported: Reported, name: str, damage: Callable[[Path], None]
) -> None:
    directory = await _begin_and_let_go(bench, last_reported)
    shim = _shim_of(directory)
    damage(directory.path / name)
    settled = process(bench).directory(make_assignment(9).attempt)
    settled.path.mkdir()

    swept = [await process(bench).sweep([], timedelta(0)) for _ in range(2)]
    await until(lambda: not is_running(shim.pid))
    assert sum(swept) == 2  # both attempts, once the unreadable one was quarantined
    assert not directory.path.exists()


async def test_task_writing_outside_its_working_directory_damages_no_state(
    bench: Bench, last_reported: Reported
) -> None:
    job = shell(bench, "for f in shim exit start; do echo garbage > ../$f.json; done; rm -rf ../*")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        end = await bench.runtime.run(job, last_reported, asyncio.Event())

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert process(bench).directory(job.assignment.attempt).find_shim() is not None


@pytest.mark.parametrize("moment", ["running", "before-a-stop"])
async def test_task_that_suspends_its_shim_is_ended(
    bench: Bench, last_reported: Reported, moment: str
) -> None:
    job = shell(bench, "kill -STOP $PPID; " + ("exit 0" if moment == "running" else "sleep 300"))
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(bench.runtime.run(job, last_reported, stop))
        if moment == "before-a-stop":
            while (await last_reported.update.get()).phase is not Phase.RUNNING:
                pass
            shim = _shim_of(process(bench).directory(job.assignment.attempt))
            await until(lambda: shim.is_stopped)
            stop.set()

    expected = Phase.SUCCEEDED if moment == "running" else Phase.ABORTED
    assert run.result().phase is expected, run.result().failure


async def test_shim_that_does_not_end_in_time_is_killed(
    bench: Bench, last_reported: Reported
) -> None:
    """Here a process that ignores SIGTERM stands for a shim that hangs."""
    runtime = process(bench)
    runtime._bounds = replace(runtime._bounds, margin=timedelta(0))
    hung = await asyncio.create_subprocess_exec(
        *("sh", "-c", "trap '' TERM; echo ready; sleep 300"),
        start_new_session=True,
        stdout=asyncio.subprocess.PIPE,
    )
    assert hung.stdout is not None
    await hung.stdout.readline()
    ticks = read_started_ticks(hung.pid)
    assert ticks is not None
    directory = runtime.directory(bench.endless.assignment.attempt)
    directory.path.mkdir(parents=True)
    assert directory.claim(Identity(hung.pid, ticks, read_boot_id()))
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        end = await runtime.run(bench.endless, last_reported, stop)
        assert await hung.wait() == -signal.SIGKILL

    assert end.failure is not None
    assert end.failure.code == "ProcessLost"


async def test_withdrawn_attempt_stays_withdrawn_and_its_shim_gets_no_claim(
    bench: Bench, last_reported: Reported
) -> None:
    """A shim that has read its order claims the attempt just after it was aborted."""
    runtime, stop = process(bench), asyncio.Event()
    directory = runtime.directory(bench.endless.assignment.attempt)
    directory.make(runtime._prepare(bench.endless, ProcessSecrets()))
    stop.set()
    first = await runtime.run(
        replace(bench.endless, last_reported=Phase.INITIALIZING), last_reported, stop
    )

    assert not directory.claim(Identity.of_this_process())
    with pytest.raises(FileNotFoundError):
        directory.read_start()
    again = await bench.another().run(
        replace(bench.endless, last_reported=Phase.INITIALIZING), last_reported, stop
    )
    assert (first.phase, again.phase) == (Phase.ABORTED, Phase.ABORTED)
