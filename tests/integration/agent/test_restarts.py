"""Tests of agents that die and restart: nothing is lost, runs twice or is left over."""

import asyncio
import os
import signal
from pathlib import Path

from dataplane.agent.runtimes.process.process_identity import read_stat
from shared.idl.agent.v1 import link_pb2
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.integration.agent.world import (
    ActionRequest,
    AgentProcess,
    World,
    agent,
    is_running,
    until,
    until_file,
)


def _append(marks: Path, seconds: int) -> ActionRequest:
    return ActionRequest(
        task="append", inputs={"ledger": str(marks), "seconds": seconds}, outputs=["o0"]
    )


async def test_killed_agent_adopts_its_running_attempt(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    first = await AgentProcess.start(world)
    assignment = await world.assign(_append(marks, 4))
    await until_file(marks)
    await world.control.phase_of(assignment, Phase.RUNNING)
    await first.kill()

    async with agent(world):
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert len(marks.read_text().splitlines()) == 1
    assert world.control.sessions[-1].inventory == [(assignment.attempt, assignment.lease)]
    versions = [report.version for report in world.control.reports[assignment.attempt]]
    assert versions == [1, 2, 3]


async def test_attempt_ended_without_agent_is_reported(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    first = await AgentProcess.start(world)
    assignment = await world.assign(_append(marks, 1))
    pid = int(await until_file(marks))
    await first.kill()
    await until(lambda: not is_running(pid))

    async with agent(world):
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert len(marks.read_text().splitlines()) == 1


async def test_repeatedly_killed_agent_loses_and_repeats_nothing(
    world: World, tmp_path: Path
) -> None:
    marks = [tmp_path / f"marks{number}" for number in range(6)]
    started = await AgentProcess.start(world)
    assignments = []
    for mark in marks:
        assignments.append(await world.assign(_append(mark, 0)))
        await asyncio.sleep(0.15)  # so that each is killed at another point
        await started.kill()
        started = await AgentProcess.start(world)
    try:
        ends = [await world.control.end_of(assignment) for assignment in assignments]
    finally:
        await started.stop()

    assert {end.phase for end in ends} == {Phase.SUCCEEDED}, [end.failure for end in ends]
    assert [len(mark.read_text().splitlines()) for mark in marks] == [1] * len(marks)


async def test_unacknowledged_report_is_resent_and_counted_once(world: World) -> None:
    world.control.acknowledging = False
    async with agent(world):
        assignment = await world.assign(ActionRequest(task="talk", inputs={"lines": 1}))
        await world.control.end_of(assignment)
    assert len(world.control.received) == 3

    world.control.acknowledging = True
    async with agent(world):
        await world.control.until(lambda: len(world.control.received) == 6)

    assert [report.version for report in world.control.received] == [1, 2, 3, 1, 2, 3]
    assert len(world.control.reports[assignment.attempt]) == 3


async def test_vanished_shim_is_system_failure_without_leftovers(
    world: World, tmp_path: Path
) -> None:
    pids_file = tmp_path / "pids"
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="spawn", inputs={"pids": str(pids_file)})
        )
        family = [int(pid) for pid in (await until_file(pids_file)).split()]
        task = family[0]
        shim = int((read_stat(task) or [])[1])
        os.kill(shim, signal.SIGKILL)
        end = await world.control.end_of(assignment)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("ProcessLost", FailureKind.SYSTEM)
    assert len(family) == 3
    assert not any(is_running(pid) for pid in family)


async def test_stopped_agent_leaves_attempts_running(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with agent(world) as first:
        assignment = await world.assign(_append(marks, 3))
        pid = int(await until_file(marks))
        assert await first.stop() == 0
        assert is_running(pid)

    async with agent(world):
        end = await world.control.end_of(assignment)
    assert end.phase is Phase.SUCCEEDED, end.failure


async def test_stopped_agent_with_stop_attempts_stops_them(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with agent(world, "--stop-attempts") as first:
        assignment = await world.assign(_append(marks, 300))
        pid = int(await until_file(marks))
        await first.stop()
        assert not is_running(pid)

    async with agent(world):
        end = await world.control.end_of(assignment)
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("AgentStopped", FailureKind.PREEMPTION)


async def test_revoked_lease_is_stopped_without_report(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    first = await AgentProcess.start(world)
    assignment = await world.assign(_append(marks, 300))
    pid = int(await until_file(marks))
    await world.control.phase_of(assignment, Phase.RUNNING)
    await first.kill()
    received = len(world.control.received)

    world.control.decision_on = lambda _: link_pb2.VerdictOnLease.KIND_FORGET
    async with agent(world):
        await until(lambda: not is_running(pid))
    assert len(world.control.received) - received <= 2  # reports from before the stop


async def test_stop_is_applied_after_reconnect(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    first = await AgentProcess.start(world)
    assignment = await world.assign(_append(marks, 300))
    await until_file(marks)
    await first.kill()

    world.control.decision_on = lambda _: link_pb2.VerdictOnLease.KIND_STOP
    async with agent(world):
        end = await world.control.end_of(assignment)
    assert end.phase is Phase.ABORTED
