"""Tests of leases: an attempt starts only once confirmed, and ends when its lease is lost."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.idl.agent.v1 import assignment_pb2, link_pb2
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from shared.wire.ids import render_lease
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


def _append(marks: Path, seconds: int = 0) -> ActionRequest:
    return ActionRequest(task="append", inputs={"ledger": str(marks), "seconds": seconds})


def _confirm(assignment: Assignment) -> link_pb2.ControlFrame:
    lease = render_lease(assignment.attempt, assignment.lease)
    return link_pb2.ControlFrame(confirmed=assignment_pb2.Confirmed(leases=[lease]))


async def test_unconfirmed_assignment_is_not_started(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    world.control.confirming = False
    async with agent(world):
        waiting = await world.assign(_append(marks))
        await world.control.until(lambda: world.control.accepted)
        # One that is confirmed runs to its end; if the other could start it would have.
        other = await world.assign(ActionRequest(task="talk", inputs={"lines": 1}))
        await world.control.until(lambda: len(world.control.accepted) == 2)
        await world.control.send(_confirm(other))
        await world.control.end_of(other)
        assert not marks.exists()

        await world.control.send(_confirm(waiting))
        end = await world.control.end_of(waiting)
    assert end.phase is Phase.SUCCEEDED, end.failure
    assert marks.read_text().count("\n") == 1


async def test_inventory_decision_keep_confirms_attempt(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    world.control.confirming = False
    async with agent(world):
        assignment = await world.assign(_append(marks))
        await world.control.until(lambda: world.control.accepted)
        await world.control.disconnect()
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure


@pytest.mark.parametrize("breaks", [False, True], ids=["connected", "session-breaks"])
async def test_unconfirmed_attempt_is_aborted_by_a_stop(
    world: World, tmp_path: Path, *, breaks: bool
) -> None:
    marks = tmp_path / "marks"
    world.control.confirming = False
    async with agent(world):
        assignment = await world.assign(_append(marks))
        await world.control.until(lambda: world.control.accepted)
        if breaks:  # as after a heartbeat timeout
            await world.control.disconnect()
        await world.control.stop(assignment)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.ABORTED
    assert not marks.exists()


async def test_heartbeat_counts_active_and_running_attempts(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    world.control.heartbeat = timedelta(milliseconds=200)
    async with agent(world):
        assignment = await world.assign(_append(marks, 300))
        await world.control.until(lambda: _latest_counts(world) == (1, 1))
        await world.control.stop(assignment)
        await world.control.until(lambda: _latest_counts(world) == (0, 0))


def _latest_counts(world: World) -> tuple[int, int] | None:
    """Return the active and running attempts in the latest heartbeat."""
    latest = [session.heartbeat for session in world.control.sessions if session.heartbeats]
    return (latest[-1].held, latest[-1].running) if latest else None


async def test_stale_report_stops_its_attempt(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with agent(world):
        assignment = world.make(_append(marks, 300))
        world.control.stale.add(assignment.attempt)
        await world.control.assign(assignment)
        await world.control.until(lambda: world.control.received)
        await until(lambda: not _is_running(marks))
        await world.control.disconnect()
        await world.control.until(lambda: len(world.control.sessions) == 2)

    assert world.control.sessions[1].inventory == []


def _is_running(marks: Path) -> bool:
    """Return whether the process that left a mark there is alive; a partial line does not count."""
    text = marks.read_text() if marks.exists() else ""
    return text.endswith("\n") and is_running(int(text))


async def test_disconnected_agent_stops_replaceable_attempts_only(
    tmp_path: Path,
) -> None:
    async with control_plane() as control:
        control.fence, control.reassign = timedelta(seconds=6), timedelta(seconds=60)
        control.heartbeat = timedelta(milliseconds=200)
        world = World(tmp_path, control)
        replaceable = replace(world.make(_append(tmp_path / "one", 300)), replaceable=True)
        staying = world.make(_append(tmp_path / "other", 300))
        started = await AgentProcess.start(world)
        await control.assign(replaceable, staying)
        one = int(await until_file(tmp_path / "one"))
        other = int(await until_file(tmp_path / "other"))
    try:
        await until(lambda: not is_running(one))
        assert is_running(other)

        async with control_plane(int(control.address.rpartition(":")[2])) as again:
            again.reports = control.reports  # what it knew before the cut
            end = await again.end_of(replaceable)
            await again.stop(staying)
            await again.end_of(staying)
    finally:
        await started.stop()

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("CutOff", FailureKind.SYSTEM)
