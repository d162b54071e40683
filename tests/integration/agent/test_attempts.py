"""Tests of one attempt through a real agent and a real a0: every way in which it can end."""

import gzip
import json
import os
import signal
from datetime import timedelta
from pathlib import Path

from shared.model.phases import Phase
from shared.model.reports import MAX_MESSAGE_BYTES, FailureKind, Report
from tests.integration.agent.world import ActionRequest, World, agent, is_running, until, until_file


async def _end_of(world: World, request: ActionRequest) -> Report:
    async with agent(world):
        return await world.control.end_of(await world.assign(request))


async def test_task_outputs_are_at_reported_uri(world: World) -> None:
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="add_one", inputs={"x": 3}, outputs=["o0"])
        )
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert end.output_uri == assignment.output_prefix
    assert world.outputs(assignment)["o0"].scalar.primitive.integer == 4
    phases = [report.phase for report in world.control.reports[assignment.attempt]]
    assert phases == [Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED]


async def test_log_is_shipped_and_notes_ignored_image(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="talk", inputs={"lines": 3}))

    lines = [
        json.loads(line)
        for line in gzip.decompress(world.path(end.log_uri).read_bytes()).splitlines()
    ]
    assert "image ghcr.io/acme/tasks:v1 is ignored" in lines[0]["m"]
    assert lines[0]["o"] == 2
    printed = [line["m"] for line in lines if line["m"].startswith("line ")]
    assert printed == ["line 0", "line 1", "line 2"]
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)


async def test_user_failure_is_reported_with_class_and_message(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="fail", inputs={"message": "no such luck"}))

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert end.failure.code == "ValueError"
    assert end.failure.kind is FailureKind.USER
    assert end.failure.recoverable
    assert "no such luck" in end.failure.message


async def test_large_error_is_cut_and_stored_whole(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="fail_at_length", inputs={"size": 5 * 2**20}))

    assert end.failure is not None
    assert len(end.failure.message.encode()) <= MAX_MESSAGE_BYTES
    assert end.failure.full_uri in end.failure.message
    assert world.path(end.failure.full_uri).stat().st_size > 5 * 2**20


async def test_import_error_is_user_failure(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="add_one", module="no_such_module"))

    assert end.failure is not None
    assert end.failure.kind is FailureKind.USER
    assert "No module named 'no_such_module'" in end.failure.message


async def test_missing_declared_outputs_fail_the_task(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="leave", outputs=["o0"]))

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert end.failure.code == "OutputsMissing"
    assert "leaving without a word" in end.failure.message


async def test_nonzero_exit_quotes_last_lines(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="exit_badly", outputs=["o0"]))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("NonZeroExit", FailureKind.USER)
    assert "exited with code 3" in end.failure.message
    assert "about to exit" in end.failure.message


async def test_crash_is_user_failure(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="crash", outputs=["o0"]))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("Crashed", FailureKind.USER)
    assert "SIGABRT" in end.failure.message


async def test_crash_after_outputs_is_success_with_event(world: World) -> None:
    async with agent(world):
        assignment = await world.assign(ActionRequest(task="crash_at_exit", outputs=["o0"]))
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert world.outputs(assignment)["o0"].scalar.primitive.integer == 7
    [event] = end.events
    assert event.reason == "CrashedAfterOutputs"
    assert "crashed with SIGABRT after it had written its outputs" in event.message


async def test_kill_from_outside_is_system_failure(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(
                task="append", inputs={"ledger": str(marks), "seconds": 300}, outputs=["o0"]
            )
        )
        os.kill(int(await until_file(marks)), signal.SIGKILL)
        end = await world.control.end_of(assignment)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("Interrupted", FailureKind.SYSTEM)


async def test_task_over_memory_limit_is_killed_as_oom(world: World) -> None:
    end = await _end_of(
        world, ActionRequest(task="grow", inputs={"mebibytes": 1000}, memory="300Mi")
    )

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("OOMKilled", FailureKind.USER)
    assert "limit of 300 MiB" in end.failure.message


async def test_task_over_max_runtime_times_out(world: World) -> None:
    end = await _end_of(
        world,
        ActionRequest(
            task="append",
            inputs={"ledger": str(world.root / "marks"), "seconds": 300},
            timeout=timedelta(seconds=2),
        ),
    )

    assert end.phase is Phase.TIMED_OUT
    assert end.failure is not None
    assert end.failure.code == "MAX_RUNTIME_EXCEEDED"


async def test_abort_kills_all_descendants(world: World, tmp_path: Path) -> None:
    pids_file = tmp_path / "pids"
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="spawn", inputs={"pids": str(pids_file)})
        )
        pids = [int(pid) for pid in (await until_file(pids_file)).split()]
        assert len(pids) == 3
        await world.control.stop(assignment)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.ABORTED
    assert not any(is_running(pid) for pid in pids)


async def test_abort_of_task_that_finishes_is_success(world: World, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="finish_when_asked", inputs={"ready": str(ready)}, outputs=["o0"])
        )
        await until_file(ready, empty=True)
        await world.control.stop(assignment)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert world.outputs(assignment)["o0"].scalar.primitive.integer == 7


async def test_real_time_signal_is_user_failure(world: World) -> None:
    number = signal.SIGRTMIN + 2
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="end_by_signal", inputs={"number": number})
        )
        end = await world.control.end_of(assignment)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("EndedBySignal", FailureKind.USER)
    assert "SIGRTMIN+2" in end.failure.message


async def test_abort_sends_sigterm_once(world: World, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    async with agent(world, "--grace-seconds", "0.5"):
        assignment = await world.assign(
            ActionRequest(task="ignore_sigterm", inputs={"ready": str(ready)})
        )
        await until_file(ready, empty=True)
        await world.control.stop(assignment)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.ABORTED


async def test_stop_with_forget_ends_process_without_report(world: World, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="append", inputs={"ledger": str(marks), "seconds": 300})
        )
        pid = int(await until_file(marks))
        await world.control.phase_of(assignment, Phase.RUNNING)
        await world.control.stop(assignment, forget=True)
        await until(lambda: not is_running(pid))

    assert world.control.reports[assignment.attempt][-1].phase is Phase.RUNNING


async def test_unsupported_task_type_names_its_requirement(world: World) -> None:
    end = await _end_of(
        world, ActionRequest(task="x", type="raw-container", args=["echo", "hello"])
    )

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert end.failure.code == "UnsupportedTaskType"
    assert "raw-container" in end.failure.message
    assert not end.failure.recoverable
