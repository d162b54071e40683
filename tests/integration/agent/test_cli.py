"""Tests of the agent's command line: bad options fail at once, named and with a remedy."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dataplane.agent.ledger.database import FORMAT
from tests.integration.agent.world import AgentProcess, World, agent


async def _run_and_fail(*options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dataplane.agent", "run", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode not in {0, None}
    return output.decode()


def _options(root: Path, **changed: str) -> list[str]:
    options = {
        "control-plane": "127.0.0.1:1",
        "public-endpoint": "localhost:8100",
        "token-file": str(root / "token"),
        "data-dir": str(root / "agent"),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return [item for name, value in options.items() for item in (f"--{name}", value)]


async def test_data_directory_refuses_second_agent(world: World) -> None:
    async with agent(world):
        await world.control.until(lambda: world.control.sessions)
        second = await AgentProcess.start(world)
        async with asyncio.timeout(60):
            assert await second.process.wait() == 1

    assert "another agent uses" in second.log.read_text()


async def test_unusable_data_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = await _run_and_fail(*_options(tmp_path, data_dir=str(tmp_path / "file" / "agent")))

    assert "cannot be used" in output
    assert "--data-dir" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:99999", ":8101"])
async def test_address_without_port_is_refused(tmp_path: Path, address: str) -> None:
    output = await _run_and_fail(*_options(tmp_path, control_plane=address))

    assert f"--control-plane is {address!r}; set it to host:port" in output


async def test_missing_option_is_named() -> None:
    assert "--control-plane" in await _run_and_fail()


async def test_ledger_of_later_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    with closing(sqlite3.connect(tmp_path / "agent" / "ledger.sqlite3")) as ledger:
        ledger.execute(f"PRAGMA user_version = {FORMAT + 1}")
    output = await _run_and_fail(*_options(tmp_path))

    assert f"has format {FORMAT + 1}" in output
    assert "--data-dir" in output
    assert "Traceback" not in output
