"""Tests of warm starts: a task forked from the zygote looks as if started by a shell."""

import gzip
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.environment import inherited
from dataplane.agent.runtimes.process.logs import read_last_lines
from dataplane.agent.runtimes.process.process_identity import Identity
from dataplane.agent.runtimes.process.spawner import Spawner
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from tests.integration.agent.world import (
    ActionRequest,
    AgentProcess,
    World,
    agent,
    until,
    until_file,
)
from tests.running import running


async def _until_warm(started: AgentProcess, count: int = 1) -> None:
    await until(lambda: started.log.read_text().count("zygote ready") >= count)


async def _describe(world: World, name: str, **env: str) -> dict[str, Any]:
    path = world.root / name
    assignment = await world.assign(
        ActionRequest(task="describe", inputs={"path": str(path)}, env=env)
    )
    end = await world.control.end_of(assignment)
    assert end.phase is Phase.SUCCEEDED, end.failure
    text = await until_file(path, empty=True)
    for own in (assignment.attempt, assignment.key.name, path.name):
        text = text.replace(str(own), "OWN")
    description: dict[str, Any] = json.loads(text)
    return description


async def test_warm_start_looks_like_cold_start(world: World) -> None:
    async with agent(world, "--cold"):
        cold = await _describe(world, "of-nothing")
    async with agent(world) as started:
        await _until_warm(started)
        forked = await _describe(world, "of-a-fork")
        spare = await _describe(world, "of-a-spare")

    assert forked == cold
    assert spare == cold


async def test_zygote_spare_of_other_environment_is_not_used(world: World) -> None:
    async with agent(world) as started:
        await _until_warm(started)
        first = await _describe(world, "first", COLOUR="red", LOG_LEVEL="30")
        second = await _describe(world, "second", SHAPE="round", LOG_LEVEL="20")

    assert (first["env"]["COLOUR"], first["env"]["LOG_LEVEL"]) == ("red", "30")
    assert (second["env"]["SHAPE"], second["env"]["LOG_LEVEL"]) == ("round", "20")
    assert "COLOUR" not in second["env"]


async def test_warm_start_applies_interpreter_variables(world: World) -> None:
    async with agent(world) as started:
        await _until_warm(started)
        plain = await _describe(world, "plain")
        optimised = await _describe(world, "optimised", PYTHONOPTIMIZE="1")

    assert "optimize=0" in plain["flags"]
    assert "optimize=1" in optimised["flags"]


_FIXED_WHEN_LOADED = {
    "TZ": "Asia/Tokyo",
    "LANG": "C",
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "7",
    "PYTHONOPTIMIZE": "1",
    "FSSPEC_FILE_AUTO_MKDIR": "0",
    "FSSPEC_S3_ANON": "1",
    "MSGPACK_PUREPYTHON": "1",
}


async def test_warm_start_applies_loader_variables(
    world: World,
) -> None:
    async def describe_each(how: str) -> dict[str, str]:
        found = {}
        for name, value in {"": "", **_FIXED_WHEN_LOADED}.items():
            path = world.root / f"{how}-{name}"
            request = ActionRequest(
                task="describe_loaded",
                inputs={"path": str(path)},
                env={name: value} if name else {},
            )
            end = await world.control.end_of(await world.assign(request))
            assert end.phase is Phase.SUCCEEDED, end.failure
            found[name] = await until_file(path, empty=True)
        return found

    async with agent(world, "--cold"):
        cold = await describe_each("cold")
    async with agent(world) as started:
        await _until_warm(started)
        warm = await describe_each("warm")

    assert warm == cold
    unseen = {name for name, text in cold.items() if name and text == cold[""]}
    assert unseen <= {"LANG", "LC_ALL", "PYTHONUTF8"}  # as the machine's, perhaps


async def test_warm_start_is_kept_with_task_variables(world: World) -> None:
    base = inherited(os.environ)
    spawner = Spawner(base, world.root, SystemClock(), warm=True)
    program = shutil.which("a0", path=base["PATH"])
    assert program is not None
    async with running(spawner, at_most=60):
        await spawner.ready.wait()
        for env, may_fork in [
            ({}, True),
            ({"COLOUR": "red", "LOG_LEVEL": "30", "VOLARY_ATTEMPT": "1"}, True),
            ({"TZ": "Asia/Tokyo"}, False),
            ({"MSGPACK_PUREPYTHON": "1"}, False),
            ({"FSSPEC_S3_ANON": "1"}, False),
        ]:
            assert spawner._may_fork(_make_start(program, {**base, **env})) is may_fork, env


async def test_warm_start_is_kept_with_package_that_starts_threads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As numpy does, and with it pandas, which the SDK imports where they are installed."""
    (tmp_path / "msgpack").mkdir()
    (tmp_path / "msgpack" / "__init__.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    base = {**inherited(os.environ), "PYTHONPATH": str(tmp_path)}
    caplog.set_level("INFO")
    spawner = Spawner(base, tmp_path, SystemClock(), warm=True)
    async with running(spawner, at_most=60):
        await spawner.ready.wait()
        directory = AttemptDirectory(tmp_path / "attempts" / "first")
        program = shutil.which("a0", path=base["PATH"])
        assert program is not None
        start = _make_start(program, base)
        directory.make(start)
        assert spawner._may_fork(start)
        assert await spawner.start(directory, start)
        await until(lambda: directory.find_exit() is not None)
    (left_out,) = (
        record.__dict__["packages"]
        for record in caplog.records
        if "start threads" in record.message
    )
    assert "msgpack" in left_out


async def test_dead_zygote_is_replaced_without_delaying_tasks(world: World) -> None:
    async with agent(world) as started:
        await _until_warm(started)
        os.kill(_find_zygote(started), signal.SIGKILL)
        await _describe(world, "meanwhile")
        await _until_warm(started, 2)
        await _describe(world, "afterwards")


async def test_tasks_outlive_their_zygote(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with agent(world) as started:
        await _until_warm(started)
        assignment = await world.assign(
            ActionRequest(
                task="append", inputs={"ledger": str(marks), "seconds": 2}, outputs=["o0"]
            )
        )
        await until_file(marks)
        os.kill(_find_zygote(started), signal.SIGKILL)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure


async def test_ended_agent_leaves_no_processes(world: World) -> None:
    async with agent(world) as started:
        await _until_warm(started)
        await _describe(world, "one")  # leaves a spare behind
        zygote = _find_zygote(started)
        family = [zygote, *_children(zygote)]
        assert len(family) > 1
        await started.kill()
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def _find_zygote(started: AgentProcess) -> int:
    (zygote,) = _children(started.process.pid)
    return zygote


def _children(of: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == of:
            found.append(int(path.parent.name))
    return found


def _make_start(program: str, env: Mapping[str, str]) -> Start:
    return Start(
        argv=[program],
        env=env,
        notes=[],
        max_runtime_seconds=None,
        memory_limit=None,
        grace_seconds=1,
        fence=None,
        line_bytes=1000,
        log_bytes=1000,
    )


async def test_attempt_taken_by_late_shim_keeps_zygote(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent was killed after it requested a shim; the next one requests it again."""
    base = inherited(os.environ)
    program = shutil.which("a0", path=base["PATH"])
    assert program is not None
    directory = AttemptDirectory(tmp_path / "attempts" / "first")
    start = _make_start(program, base)
    directory.make(start)
    assert directory.claim(Identity.of_this_process())
    directory.take_start()
    following = AttemptDirectory(tmp_path / "attempts" / "following")
    following.make(start)
    spawner = Spawner(base, tmp_path, SystemClock(), warm=True)
    async with running(spawner, at_most=60):
        await spawner.ready.wait()
        assert not await spawner.start(directory, start)
        assert await spawner.start(following, start)
        await until(lambda: following.find_exit() is not None)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    assert directory.find_shim() == Identity.of_this_process()


_ENDINGS = {
    "returns": "",
    "code": "sys.exit(3)",
    "message": "sys.exit('a last word')",
    "exception": "raise ValueError('no')",
    "late_thread": "threading.Timer(0.1, print, ['from a thread']).start()",
    "abort_at_exit": "atexit.register(os.abort)",
}


@pytest.mark.parametrize("ending", _ENDINGS)
async def test_warm_start_ends_like_cold_start(tmp_path: Path, ending: str) -> None:
    """Same exit, same last line; nothing is lost that an interpreter writes when it ends."""
    program = tmp_path / "bin" / "a0"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import atexit, gzip, os, sys, threading\n"
        "atexit.register(print, 'at exit')\n"
        "file, packed = open('open', 'w'), gzip.open('open.gz', 'wt')\n"
        "file.write('text'), packed.write('text'), print('no newline', end='')\n"
        f"print()\n{_ENDINGS[ending]}\n"
    )
    program.chmod(0o755)
    base = inherited(os.environ)
    base["PATH"] = f"{program.parent}:{base['PATH']}"
    found = []
    for warm in (False, True):
        directory = AttemptDirectory(tmp_path / str(warm) / "attempts" / "first")
        start = _make_start(str(program), base)
        directory.make(start)
        spawner = Spawner(base, tmp_path, SystemClock(), warm=warm)
        async with running(spawner, at_most=60):
            if warm:
                await spawner.ready.wait()
                assert spawner._may_fork(start)
            assert await spawner.start(directory, start)
            await until(lambda ended=directory: ended.find_exit() is not None)  # type: ignore[misc]
        ended = directory.find_exit()
        assert ended is not None
        files = [directory.work / "open", directory.work / "open.gz"]
        found.append(
            (
                (ended.code, ended.signal),
                read_last_lines(directory.log, 100),
                files[0].read_text(),
                gzip.decompress(files[1].read_bytes()) if ended.signal is None else None,
            )
        )
    assert found[0] == found[1]
