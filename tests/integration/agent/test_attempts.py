"""One attempt, through a real agent and a real a0: every way in which it can end."""

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


async def test_a_task_runs_and_its_outputs_are_where_the_report_says(world: World) -> None:
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


async def test_its_log_is_shipped_and_says_that_the_image_is_ignored(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="talk", inputs={"lines": 3}))

    lines = [
        json.loads(line)
        for line in gzip.decompress(world.path(end.log_uri).read_bytes()).splitlines()
    ]
    assert "image ghcr.io/acme/tasks:v1 is ignored" in lines[0]["m"]
    assert lines[0]["o"] == 2
    said = [line["m"] for line in lines if line["m"].startswith("line ")]
    assert said == ["line 0", "line 1", "line 2"]
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)


async def test_a_users_failure_is_told_with_its_class_and_message(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="fail", inputs={"message": "no such luck"}))

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert end.failure.code == "ValueError"
    assert end.failure.kind is FailureKind.USER
    assert end.failure.recoverable
    assert "no such luck" in end.failure.message


async def test_a_five_megabyte_error_is_cut_and_the_whole_is_in_the_store(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="fail_at_length", inputs={"size": 5 * 2**20}))

    assert end.failure is not None
    assert len(end.failure.message.encode()) <= MAX_MESSAGE_BYTES
    assert end.failure.full_uri in end.failure.message
    assert world.path(end.failure.full_uri).stat().st_size > 5 * 2**20


async def test_a_module_that_does_not_import_is_the_users_to_see(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="add_one", module="no_such_module"))

    assert end.failure is not None
    assert end.failure.kind is FailureKind.USER
    assert "No module named 'no_such_module'" in end.failure.message


async def test_outputs_that_were_declared_and_are_not_there_fail_the_task(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="leave", outputs=["o0"]))

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert end.failure.code == "OutputsMissing"
    assert "leaving without a word" in end.failure.message


async def test_a_bad_exit_quotes_the_last_lines(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="exit_badly", outputs=["o0"]))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("NonZeroExit", FailureKind.USER)
    assert "exited with code 3" in end.failure.message
    assert "about to exit" in end.failure.message


async def test_a_crash_is_the_users(world: World) -> None:
    end = await _end_of(world, ActionRequest(task="crash", outputs=["o0"]))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("Crashed", FailureKind.USER)
    assert "SIGABRT" in end.failure.message


async def test_a_kill_from_outside_is_the_systems(world: World, tmp_path: Path) -> None:
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


async def test_too_much_memory_is_killed_and_named(world: World) -> None:
    end = await _end_of(
        world, ActionRequest(task="grow", inputs={"mebibytes": 1000}, memory="300Mi")
    )

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("OOMKilled", FailureKind.USER)
    assert "limit of 300 MiB" in end.failure.message


async def test_a_task_that_runs_too_long_times_out(world: World) -> None:
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


async def test_an_abort_kills_the_whole_family(world: World, tmp_path: Path) -> None:
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


async def test_task_that_finishes_after_a_stop_has_succeeded(world: World, tmp_path: Path) -> None:
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


async def test_task_that_ends_by_a_real_time_signal_is_a_user_failure(world: World) -> None:
    number = signal.SIGRTMIN + 2
    async with agent(world):
        assignment = await world.assign(
            ActionRequest(task="end_by_signal", inputs={"number": number})
        )
        end = await world.control.end_of(assignment)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("EndedBySignal", FailureKind.USER)
    assert "SIGRTMIN+2" in end.failure.message


async def test_an_abort_does_not_ask_twice(world: World, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    async with agent(world, "--grace-seconds", "0.5"):
        assignment = await world.assign(
            ActionRequest(task="ignore_sigterm", inputs={"ready": str(ready)})
        )
        await until_file(ready, empty=True)
        await world.control.stop(assignment)
        end = await world.control.end_of(assignment)

    assert end.phase is Phase.ABORTED


async def test_a_stop_that_forgets_ends_the_process_without_a_word(
    world: World, tmp_path: Path
) -> None:
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


async def test_a_type_nobody_here_can_run_says_what_it_needs(world: World) -> None:
    end = await _end_of(
        world, ActionRequest(task="x", type="raw-container", args=["echo", "hello"])
    )

    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert end.failure.code == "UnsupportedTaskType"
    assert "raw-container" in end.failure.message
    assert not end.failure.recoverable
