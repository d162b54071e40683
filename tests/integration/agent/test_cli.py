"""The command line: what cannot work is refused at once, by name, with the remedy."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.integration.agent.world import AgentProcess, World, agent


async def _refused(*options: str) -> str:
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


async def test_a_second_agent_in_one_directory_is_refused(world: World) -> None:
    async with agent(world):
        await world.control.until(lambda: world.control.sessions)
        second = await AgentProcess.start(world)
        async with asyncio.timeout(60):
            assert await second.process.wait() == 1

    assert "another agent uses" in second.log.read_text()


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = await _refused(*_options(tmp_path, data_dir=str(tmp_path / "file" / "agent")))

    assert "cannot be used" in said
    assert "--data-dir" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:99999", ":8101"])
async def test_an_address_without_a_port_is_refused(tmp_path: Path, address: str) -> None:
    said = await _refused(*_options(tmp_path, control_plane=address))

    assert "is not host:port" in said


async def test_what_is_missing_is_named() -> None:
    assert "--control-plane" in await _refused()


async def test_a_ledger_of_a_later_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "ledger.sqlite3").write_bytes(b"no database, but long enough" * 100)
    said = await _refused(*_options(tmp_path))

    assert "cannot be opened as the agent's ledger" in said
    assert "Traceback" not in said
