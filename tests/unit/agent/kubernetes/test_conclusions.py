"""The cluster's word and the task's own: which counts for more, and what is written down."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl2.core import execution_pb2

from dataplane.agent.core.endings import CUT_OFF
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.kubernetes.endings import conclude, has_succeeded
from dataplane.agent.runtimes.kubernetes.recorded_outcomes import (
    ANNOTATION,
    AttemptOutcome,
    find_outcome,
    render_outcome,
)
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import Variable
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, EventType, Failure, FailureKind
from tests.unit.agent.assignments import NOW, make_assignment, make_job

USER, SYSTEM, PREEMPTION = FailureKind.USER, FailureKind.SYSTEM, FailureKind.PREEMPTION
WELL = AttemptOutcome(ended_well=True, failure=None)


def failed(code: str, kind: FailureKind = USER) -> AttemptOutcome:
    failure = Failure(code=code, kind=kind, message=f"it was {code}")
    return AttemptOutcome(ended_well=False, failure=failure, last_lines=["the last line"])


def doubted(code: str, kind: FailureKind = USER) -> AttemptOutcome:
    return replace(failed(code, kind), ended_well=True)


def make(
    base: Path, *files: str, args: tuple[str, ...] = ("a0",), task_type: str = "python"
) -> Job:
    job = make_job(
        make_assignment(base=f"file://{base}", task_type=task_type),
        args=args,
        outputs=(Variable("o0", False),),
    )
    prefix = Path(job.assignment.output_prefix.removeprefix("file://"))
    prefix.mkdir(parents=True)
    error = execution_pb2.ContainerError(code="ValueError", message="no such thing")
    bodies = {
        "error.pb": execution_pb2.ErrorDocument(error=error).SerializeToString(),
        "outputs.pb": b"",
    }
    for name in files:
        (prefix / name).write_bytes(bodies[name])
    return job


@pytest.mark.parametrize(
    ("outcome", "files", "phase", "code"),
    [
        (WELL, ["outputs.pb"], Phase.SUCCEEDED, None),
        (WELL, [], Phase.FAILED, "OutputsMissing"),
        (WELL, ["error.pb"], Phase.FAILED, "ValueError"),
        (failed("NonZeroExit"), ["error.pb"], Phase.FAILED, "ValueError"),
        (failed("NonZeroExit"), [], Phase.FAILED, "NonZeroExit"),
        (failed("Crashed"), [], Phase.FAILED, "Crashed"),
        (failed("Crashed"), ["error.pb", "outputs.pb"], Phase.FAILED, "ValueError"),
        (failed("Interrupted", SYSTEM), ["outputs.pb"], Phase.FAILED, "Interrupted"),
        (failed("Drained", PREEMPTION), ["error.pb"], Phase.FAILED, "Drained"),
        (failed(CUT_OFF.code, SYSTEM), ["error.pb"], Phase.FAILED, "CutOff"),
        (failed("MAX_RUNTIME_EXCEEDED"), ["error.pb"], Phase.TIMED_OUT, "MAX_RUNTIME_EXCEEDED"),
        (failed("OOMKilled"), ["error.pb"], Phase.FAILED, "OOMKilled"),
        (doubted("OOMKilled"), ["outputs.pb"], Phase.SUCCEEDED, None),
        (doubted("OOMKilled"), [], Phase.FAILED, "OOMKilled"),
        (doubted("Drained", PREEMPTION), ["outputs.pb"], Phase.SUCCEEDED, None),
        (doubted("Drained", PREEMPTION), ["error.pb", "outputs.pb"], Phase.FAILED, "Drained"),
        (doubted("DeletedFromOutside", SYSTEM), [], Phase.FAILED, "DeletedFromOutside"),
    ],
    ids=[
        "well", "no-outputs", "error", "exit-and-error", "exit", "crash",
        "crash-and-error", "killed-late", "drained", "fenced",
        "late", "memory", "memory-noticed", "memory-unnoticed", "drained-when-done",
        "drained-in-failing", "gone",
    ],
)  # fmt: skip
async def test_final_status_by_outcome_and_files(
    tmp_path: Path, outcome: AttemptOutcome, files: list[str], phase: Phase, code: str | None
) -> None:
    update = await conclude(Stores(SystemClock()), make(tmp_path, *files), outcome, NOW)

    assert update.phase is phase
    assert (update.failure and update.failure.code) == code
    assert bool(update.output_uri) is (phase is Phase.SUCCEEDED)


async def test_crash_after_outputs_is_success_with_event(tmp_path: Path) -> None:
    stores = Stores(SystemClock())
    update = await conclude(stores, make(tmp_path, "outputs.pb"), failed("Crashed"), NOW)

    assert update.phase is Phase.SUCCEEDED
    [event] = update.events
    assert (event.at, event.reason) == (NOW, "CrashedAfterOutputs")
    assert "it was Crashed after it had written its outputs" in event.message


@pytest.mark.parametrize(
    ("task_type", "args"),
    [("raw-container", ("sh", "-c", "true")), ("python", ("train",)), ("ray", ("a0",))],
    ids=["raw-container", "another-program", "cluster"],
)
async def test_crash_after_outputs_is_failure_of_other_tasks(
    tmp_path: Path, task_type: str, args: tuple[str, ...]
) -> None:
    job = make(tmp_path, "outputs.pb", args=args, task_type=task_type)
    update = await conclude(Stores(SystemClock()), job, failed("Crashed"), NOW)

    assert update.failure is not None
    assert (update.failure.code, update.events) == ("Crashed", ())


async def test_outputs_of_other_programs_prove_no_success(tmp_path: Path) -> None:
    job = make(tmp_path, "outputs.pb", args=("sh", "-c", "true"))
    update = await conclude(Stores(SystemClock()), job, doubted("OOMKilled"), NOW)

    assert update.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("outcome", "code"), [(failed("NonZeroExit"), "NonZeroExit"), (WELL, "OutputMissing")]
)
async def test_failed_raw_container_is_not_reported_for_missing_outputs(
    tmp_path: Path, outcome: AttemptOutcome, code: str
) -> None:
    job = make(tmp_path, args=("sh", "-c", "exit 3"))
    raw = execution_pb2.ContainerError(code="OutputMissing", message="the task left no x")
    prefix = Path(job.assignment.output_prefix.removeprefix("file://"))
    (prefix / "error.pb").write_bytes(execution_pb2.ErrorDocument(error=raw).SerializeToString())

    update = await conclude(Stores(SystemClock()), job, outcome, NOW)

    assert update.failure is not None
    assert update.failure.code == code


async def test_memory_failure_quotes_the_tasks_error(tmp_path: Path) -> None:
    job = make(tmp_path, "error.pb")
    update = await conclude(Stores(SystemClock()), job, failed("OOMKilled"), NOW)

    assert update.failure is not None
    assert "no such thing" in update.failure.message
    assert update.failure.full_uri.endswith("/error.pb")


async def test_failure_quotes_last_log_lines(tmp_path: Path) -> None:
    update = await conclude(Stores(SystemClock()), make(tmp_path), failed("NonZeroExit"), NOW)

    assert update.failure is not None
    assert update.failure.message == "it was NonZeroExit. Its last lines:\nthe last line"


def test_recorded_outcome_round_trips() -> None:
    outcome = replace(
        failed("NonZeroExit"),
        log_uri="s3://bucket/logs.jsonl.gz",
        events=[
            ClusterEvent(
                at=NOW, reason="Killing", message="stopping", type=EventType.NORMAL, count=2
            )
        ],
    )
    annotated = {"metadata": {"annotations": {ANNOTATION: render_outcome(outcome)}}}

    assert find_outcome(annotated) == outcome


def test_outcome_that_an_earlier_release_recorded_has_events_without_origin() -> None:
    event = ClusterEvent(at=NOW, reason="Killing", message="stopping")
    outcome = replace(failed("NonZeroExit"), events=[replace(event, type=EventType.NORMAL)])
    recorded = json.loads(render_outcome(outcome))
    del recorded["eventOrigins"]

    found = find_outcome({"metadata": {"annotations": {ANNOTATION: json.dumps(recorded)}}})

    assert found == replace(outcome, events=[event])


_OUT_OF_RANGE = json.dumps(
    {"endedWell": True, "failure": None, "log": "", "lastLines": [], "events": [[2**80, "r", "m"]]}
)


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"failure": 3}', "[]", _OUT_OF_RANGE])
def test_malformed_recorded_outcome_is_ignored(text: str) -> None:
    assert find_outcome({"metadata": {"annotations": {ANNOTATION: text}}}) is None


@pytest.mark.parametrize(
    ("files", "args", "succeeded"),
    [
        (["outputs.pb"], ("a0",), True),
        (["outputs.pb", "error.pb"], ("a0",), False),
        ([], ("a0",), False),
        (["outputs.pb"], ("train",), False),
    ],
    ids=["outputs", "outputs-and-error", "nothing", "another-program"],
)
async def test_stopped_attempt_with_outputs_has_succeeded(
    tmp_path: Path, files: list[str], args: tuple[str, ...], *, succeeded: bool
) -> None:
    job = make(tmp_path, *files, args=args)

    assert await has_succeeded(Stores(SystemClock()), job) is succeeded
