"""An agent whose org or identity is gone ends its attempts, and stays away."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.idl.agent.v1 import link_pb2
from shared.model.phases import Phase
from tests.integration.agent.world import (
    ActionRequest,
    AgentProcess,
    World,
    agent,
    is_running,
    until,
    until_file,
)

STAYS_AWAY = "staying away from the control plane"
EXPELLED = "attempts ended, this agent was expelled"
REASON = "the org was deleted"
END_ATTEMPTS = link_pb2.ControlFrame(
    wanted=link_pb2.Wanted(version=7, cordoned=True, end_attempts=REASON)
)


def _sleeper(marks: Path) -> ActionRequest:
    return ActionRequest(task="append", inputs={"ledger": str(marks), "seconds": 300})


def _logged(started: AgentProcess, message: str, *fields: str) -> bool:
    lines = [line for line in started.log.read_text().splitlines() if message in line]
    return any(all(field in line for field in fields) for line in lines)


async def test_agent_told_to_end_attempts_stops_processes_reports_them_and_disconnects(
    world: World, tmp_path: Path
) -> None:
    async with agent(world) as started:
        one = await world.assign(_sleeper(tmp_path / "one"))
        other = await world.assign(_sleeper(tmp_path / "other"))
        pids = [int(await until_file(tmp_path / name)) for name in ("one", "other")]
        world.control.confirming = False
        waiting = await world.assign(_sleeper(tmp_path / "waiting"))
        await world.control.until(lambda: len(world.control.accepted) == 3)
        await world.control.send(END_ATTEMPTS)
        ends = [await world.control.end_of(each) for each in (one, other, waiting)]
        assert [end.phase for end in ends] == [Phase.ABORTED] * 3
        await until(lambda: _logged(started, STAYS_AWAY))
        assert not any(is_running(pid) for pid in pids)
        assert not (tmp_path / "waiting").exists()
        assert len(world.control.sessions) == 1
        assert started.process.returncode is None
        assert _logged(started, STAYS_AWAY, f'detail="{REASON}"', "again_in_seconds=600")


async def test_agent_that_reconnects_is_told_again_and_ends_what_it_still_has(
    world: World, tmp_path: Path
) -> None:
    async with agent(world) as started:
        assignment = await world.assign(_sleeper(tmp_path / "marks"))
        pid = int(await until_file(tmp_path / "marks"))
        world.control.acknowledging = False  # the end does not arrive before the session breaks
        await world.control.send(END_ATTEMPTS)
        await world.control.end_of(assignment)
        await world.control.disconnect()
        await world.control.until(lambda: len(world.control.sessions) == 2)
        world.control.acknowledging = True
        await world.control.send(END_ATTEMPTS)
        await until(lambda: _logged(started, STAYS_AWAY))
        assert not is_running(pid)


async def test_agent_without_attempts_leaves_at_once_and_goes_on_when_restored_before_that(
    world: World, tmp_path: Path
) -> None:
    async with agent(world) as started:
        assignment = await world.assign(_sleeper(tmp_path / "marks"))
        await until_file(tmp_path / "marks")
        world.control.acknowledging = False
        await world.control.send(END_ATTEMPTS)
        await world.control.end_of(assignment)
        await world.control.send(link_pb2.ControlFrame(wanted=link_pb2.Wanted(version=7)))
        after = await world.assign(ActionRequest(task="talk", inputs={"lines": 1}))
        assert (await world.control.end_of(after)).phase is Phase.SUCCEEDED
        world.control.acknowledging = True
        await world.control.disconnect()
        await world.control.until(lambda: len(world.control.sessions) == 2)
        await world.control.until(lambda: world.control.sessions[1].heartbeats)
        await world.control.send(END_ATTEMPTS)
        await until(lambda: _logged(started, STAYS_AWAY))


@pytest.mark.parametrize("returns", [False, True], ids=["identity revoked", "org deleted"])
async def test_refused_agent_ends_the_processes_of_its_attempts_without_a_session(
    world: World, tmp_path: Path, *, returns: bool
) -> None:
    async with agent(world) as started:
        await world.assign(_sleeper(tmp_path / "marks"))
        pid = int(await until_file(tmp_path / "marks"))
        await started.kill()  # the process goes on; the agent comes back to a refusal
        assert is_running(pid)
        world.control.refusal = link_pb2.Refusal(
            code="unauthenticated",
            message="the org was deleted",
            end_attempts=True,
            retry_after_ms=int(timedelta(minutes=7) / timedelta(milliseconds=1)) if returns else 0,
        )
        again = await AgentProcess.start(world)
        try:
            await until(lambda: not is_running(pid))
            await until(lambda: _logged(again, EXPELLED, "ended=1", "remaining=0"))
            if returns:
                await until(lambda: _logged(again, STAYS_AWAY))
                assert _logged(again, STAYS_AWAY, "again_in_seconds=420")
                assert again.process.returncode is None
            else:
                async with asyncio.timeout(60):
                    assert await again.process.wait() != 0
                assert "the org was deleted" in again.log.read_text()
        finally:
            await again.stop()


async def test_refusal_of_an_earlier_release_ends_no_attempt(world: World, tmp_path: Path) -> None:
    async with agent(world) as started:
        assignment = await world.assign(_sleeper(tmp_path / "marks"))
        pid = int(await until_file(tmp_path / "marks"))
        world.control.refusal = link_pb2.Refusal(code="unauthenticated", message="no such cluster")
        await world.control.disconnect()
        async with asyncio.timeout(60):
            await started.process.wait()
        assert is_running(pid)
        world.control.refusal = None
        async with agent(world):
            await world.control.stop(assignment)
            await world.control.end_of(assignment)
            await until(lambda: not is_running(pid))
