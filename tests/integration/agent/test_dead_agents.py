"""Tests of an agent that is killed for good: its replaceable attempts end by themselves."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from shared.model.phases import Phase
from tests.fakes.control import control_plane
from tests.integration.agent.world import (
    ActionRequest,
    AgentProcess,
    World,
    agent,
    is_running,
    until,
    until_file,
)


def _append(marks: Path) -> ActionRequest:
    return ActionRequest(task="append", inputs={"ledger": str(marks), "seconds": 300})


async def test_dead_agent_stops_replaceable_attempts_only(
    tmp_path: Path,
) -> None:
    async with control_plane() as control:
        control.fence, control.reassign = timedelta(seconds=8), timedelta(seconds=60)
        control.heartbeat = timedelta(milliseconds=200)
        world = World(tmp_path, control)
        replaceable = replace(world.make(_append(tmp_path / "one")), replaceable=True)
        staying = world.make(_append(tmp_path / "other"))
        killed = await AgentProcess.start(world)
        await control.assign(replaceable, staying)
        one = int(await until_file(tmp_path / "one"))
        other = int(await until_file(tmp_path / "other"))
        await killed.kill()

        await until(lambda: not is_running(one))
        assert is_running(other)

        async with agent(world):
            end = await control.end_of(replaceable)
            await control.stop(staying)
            assert (await control.end_of(staying)).phase is Phase.ABORTED

    assert end.failure is not None
    assert end.failure.code == "CutOff"
