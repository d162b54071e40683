"""Tests of inline tasks, which the agent runs itself, and of their invalid inputs."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flyteidl2.task import common_pb2

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.tasks import Variable
from shared.kit.clock import SystemClock
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.unit.agent.assignments import make_assignment, make_job


async def say_nothing(update: StatusUpdate) -> None:
    del update


def leave_inputs(assignment: Assignment, seconds: float) -> None:
    inputs = common_pb2.Inputs()
    primitive = inputs.literals.add(name="pause").value.scalar.primitive
    if isinstance(seconds, int):
        primitive.integer = seconds
    else:
        primitive.float_value = seconds
    path = Path(assignment.input_uri.removeprefix("file://"))
    path.parent.mkdir(parents=True)
    path.write_bytes(inputs.SerializeToString())


async def sleep(root: Path, seconds: float, accepted_at: datetime | None = None) -> StatusUpdate:
    assignment = make_assignment(base=f"file://{root}", task_type="core-sleep")
    leave_inputs(assignment, seconds)
    clock = SystemClock()
    job = make_job(assignment, inputs=(Variable("pause", is_duration=False),))
    job = replace(job, accepted_at=accepted_at or job.accepted_at)
    return await InlineRuntime(Stores(clock), clock).run(job, say_nothing, asyncio.Event())


@pytest.mark.parametrize("seconds", [10**15, 1e300, float("inf"), float("nan")], ids=str)
async def test_sleep_with_invalid_duration_is_user_failure(tmp_path: Path, seconds: float) -> None:
    end = await sleep(tmp_path, seconds)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("BadInputs", FailureKind.USER)
    assert "pause" in end.failure.message


@pytest.mark.parametrize("seconds", [0, -1, -1e9], ids=str)
async def test_sleep_in_the_past_succeeds(tmp_path: Path, seconds: float) -> None:
    assert (await sleep(tmp_path, seconds)).phase is Phase.SUCCEEDED


async def test_sleep_is_not_prolonged_by_clock_set_back(tmp_path: Path) -> None:
    in_an_hour = SystemClock().now() + timedelta(hours=1)
    async with asyncio.timeout(60):
        end = await sleep(tmp_path, 0.01, accepted_at=in_an_hour)
    assert end.phase is Phase.SUCCEEDED
