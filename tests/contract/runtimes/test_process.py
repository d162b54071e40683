"""Guarantees of the process runtime beyond those of every runtime."""

import asyncio
import os
import shutil
import signal
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from dataplane.agent.runtimes.process.process_identity import (
    Identity,
    read_boot_id,
    read_started_ticks,
)
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.process.secrets import ProcessSecrets
from dataplane.agent.runtimes.protocol import NoLogError
from shared.model.phases import Phase
from tests.contract.runtimes.conftest import Bench, Reported
from tests.unit.agent.assignments import make_assignment

pytestmark = pytest.mark.parametrize("bench", ["process"], indirect=True)

TIMEOUT_SECONDS = 60


def process(bench: Bench) -> ProcessRuntime:
    assert isinstance(bench.runtime, ProcessRuntime)
    return bench.runtime


async def test_follow_unknown_attempt_raises_no_log_error(bench: Bench) -> None:
    with pytest.raises(NoLogError):
        await anext(bench.runtime.follow(make_assignment(9).attempt, 0))


async def test_attempt_started_by_two_runtimes_runs_once(
    bench: Bench, last_reported: Reported
) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        runs = [
            tasks.create_task(runtime.run(bench.short, last_reported, asyncio.Event()))
            for runtime in (bench.runtime, bench.another())
        ]
    assert {run.result().phase for run in runs} == {Phase.SUCCEEDED}

    lines = [
        line.text
        async for chunk in bench.runtime.follow(bench.short.assignment.attempt, 0)
        for line in chunk.lines
    ]
    assert lines.count("hello") == 1


async def test_sweep_removes_old_directories_of_ended_attempts(
    bench: Bench, last_reported: Reported
) -> None:
    attempt = bench.short.assignment.attempt
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await bench.runtime.run(bench.short, last_reported, asyncio.Event())
    runtime = process(bench)

    assert await runtime.sweep([attempt], timedelta(0)) == 0
    assert await runtime.sweep([], timedelta(hours=1)) == 0
    assert await runtime.sweep([], timedelta(0)) == 1
    with pytest.raises(NoLogError):
        await anext(runtime.follow(attempt, 0))


async def test_sweep_stops_process_of_orphaned_attempt(
    bench: Bench, last_reported: Reported
) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(bench.runtime.run(bench.endless, last_reported, stop))
        while (await last_reported.update.get()).phase is not Phase.RUNNING:
            pass
        assert await process(bench).sweep([], timedelta(0)) == 0

    assert run.result().phase is Phase.ABORTED


async def test_missing_program_is_named_in_start_failure(
    bench: Bench, last_reported: Reported
) -> None:
    job = bench.short
    assert job.task.container is not None
    assert shutil.which("no-such-program") is None
    object.__setattr__(job.task.container, "args", ("no-such-program",))
    end = await bench.runtime.run(job, last_reported, asyncio.Event())

    assert end.failure is not None
    assert end.failure.code == "StartFailed"
    assert "no-such-program" in end.failure.message


async def test_killed_shim_takes_its_task_along(bench: Bench, last_reported: Reported) -> None:
    runtime = process(bench)
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(runtime.run(bench.endless, last_reported, asyncio.Event()))
        while (await last_reported.update.get()).phase is not Phase.RUNNING:
            pass
        shim = runtime.directory(bench.endless.assignment.attempt).find_shim()
        assert shim is not None
        os.kill(shim.pid, signal.SIGKILL)

    failure = run.result().failure
    assert failure is not None
    assert failure.code == "ProcessLost"


async def test_shim_does_not_start_attempt_aborted_before(
    bench: Bench, last_reported: Reported
) -> None:
    """An agent died when it had ordered a shim; the next one is told to stop the attempt."""
    runtime, stop = process(bench), asyncio.Event()
    directory = runtime.directory(bench.endless.assignment.attempt)
    directory.make(runtime._prepare(bench.endless, ProcessSecrets()))
    stop.set()
    end = await runtime.run(
        replace(bench.endless, last_reported=Phase.INITIALIZING), last_reported, stop
    )
    assert end.phase is Phase.ABORTED

    started, ready = os.pipe()
    shim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dataplane.agent.runtimes.process.shim"),
        *(str(directory.path), str(ready)),
        pass_fds=[ready],
    )
    os.close(ready)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await shim.wait()
    assert os.read(started, 1) == b""
    os.close(started)
    assert not directory.log.exists()


@pytest.mark.parametrize("prefix", [(), ("env", "-i")], ids=["marked", "without-environment"])
async def test_running_attempt_whose_claim_is_lost_is_killed_and_not_started_again(
    bench: Bench, last_reported: Reported, prefix: tuple[str, ...]
) -> None:
    """
    A disk may forget after a power cut, and people remove directories.

    A task without our variable in its environment stands for one that has not come to its exec
    yet, and for one that a warm worker forked.
    """
    container = bench.endless.task.container
    assert container is not None
    task = replace(
        bench.endless.task, container=replace(container, args=(*prefix, *container.args))
    )
    job = replace(bench.endless, task=task)
    runtime, stop = process(bench), asyncio.Event()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(runtime.run(job, last_reported, stop))
        while (await last_reported.update.get()).phase is not Phase.RUNNING:
            pass
        directory = runtime.directory(job.assignment.attempt)
        (directory.path / "shim.json").unlink()
        again = await bench.another().run(
            replace(job, last_reported=Phase.RUNNING), last_reported, stop
        )

    assert again.failure is not None
    assert again.failure.code == "ProcessLost"
    assert run.result().phase is Phase.FAILED
    assert directory.find_shim() is None


@pytest.mark.parametrize("boot_id", [None, "an-earlier-one"], ids=["pid-reused", "restarted"])
async def test_process_with_reused_pid_is_not_killed(
    bench: Bench, last_reported: Reported, boot_id: str | None
) -> None:
    runtime = process(bench)
    stranger = await asyncio.create_subprocess_exec("sleep", "300", start_new_session=True)
    try:
        ticks = read_started_ticks(stranger.pid)
        assert ticks is not None
        if boot_id is None:
            gone = Identity(stranger.pid, ticks - 1, read_boot_id())
        else:
            gone = Identity(stranger.pid, ticks, boot_id)
        directory = runtime.directory(bench.endless.assignment.attempt)
        directory.path.mkdir(parents=True)
        assert directory.claim(gone)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            end = await runtime.run(bench.endless, last_reported, asyncio.Event())
        assert end.failure is not None
        assert end.failure.code == "ProcessLost"
        assert stranger.returncode is None
        assert read_started_ticks(stranger.pid) == ticks
    finally:
        stranger.kill()
        await stranger.wait()
