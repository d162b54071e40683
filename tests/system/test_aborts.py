"""What is aborted stops with everything it has started, and stays aborted."""

from collections.abc import Sequence
from pathlib import Path

import psutil
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import AbortActionRequest, AbortRunRequest

from tests.running import until
from tests.system.commands import Flyte
from tests.system.door import Door, action_id, refusal, run_id

ABORTED = ActionPhase.ACTION_PHASE_ABORTED


async def processes(pids: Path, *names: str) -> Sequence[psutil.Process]:
    """Wait until these tasks have written down the pids of what they are; return those."""
    files = [pids / name for name in names]
    await until(lambda: all(file.exists() and file.read_text() for file in files))
    return [psutil.Process(int(pid)) for file in files for pid in file.read_text().split()]


async def are_gone(running: Sequence[psutil.Process]) -> None:
    await until(lambda: not any(one.is_running() for one in running), said=lambda: str(running))


async def test_an_aborted_run_takes_every_process_along(
    door: Door, flyte: Flyte, tmp_path: Path
) -> None:
    root = await door.start("endless.main", pids=str(tmp_path))
    running = await processes(tmp_path, "main", "left", "right")
    assert len(running) == 5

    flyte("abort", "run", root.run.name, "--reason", "enough")

    await are_gone(running)
    details = await door.ended(root)
    phases = {child.status.phase for child in await door.children(root)}
    assert {details.status.phase} | phases == {ABORTED}
    assert details.abort_info.reason == "enough"
    assert details.abort_info.aborted_by.user.id.subject == "anonymous"


async def test_an_aborted_action_is_an_exception_in_its_parent(
    door: Door, flyte: Flyte, tmp_path: Path
) -> None:
    root = await door.start("endless.catching", pids=str(tmp_path))
    running = await processes(tmp_path, "only")
    [child] = await door.children(root)

    flyte("abort", "action", root.run.name, child.id.name, "--reason", "this one")

    await are_gone(running)
    [said] = await door.result(root)
    assert str(said).startswith("aborted: ")
    assert (await door.details(child.id)).abort_info.reason == "this one"


async def test_a_child_that_its_parent_cancels_is_aborted(door: Door, tmp_path: Path) -> None:
    root = await door.start("endless.cancelling", pids=str(tmp_path))
    running = await processes(tmp_path, "only")

    assert await door.result(root) == ["cancelled"]
    await are_gone(running)
    [child] = await door.children(root)
    assert child.status.phase == ABORTED


async def test_aborting_what_is_finished_changes_nothing(door: Door) -> None:
    details = await door.finish("hello.main")

    await door.runs.abort_run(AbortRunRequest(run_id=details.id.run, reason="too late"))
    await door.runs.abort_action(AbortActionRequest(action_id=details.id, reason="too late"))

    assert await door.details(details.id) == details


async def test_the_first_reason_stays(door: Door, tmp_path: Path) -> None:
    root = await door.start("endless.main", pids=str(tmp_path))
    for reason in ("first", "second"):
        await door.runs.abort_run(AbortRunRequest(run_id=root.run, reason=reason))

    assert (await door.ended(root)).abort_info.reason == "first"


async def test_what_waits_for_somebodys_word_can_be_aborted(door: Door) -> None:
    root = await door.start("approval.main", kind="bool")
    await door.phase(root, ActionPhase.ACTION_PHASE_RUNNING)

    await door.runs.abort_run(AbortRunRequest(run_id=root.run, reason="nobody answers"))

    await door.ended(root)
    assert {child.status.phase for child in await door.children(root)} <= {ABORTED}


async def test_aborting_what_is_not_there_names_it(door: Door) -> None:
    for call in (
        door.runs.abort_run(AbortRunRequest(run_id=run_id("nobody"))),
        door.runs.abort_action(AbortActionRequest(action_id=action_id("nobody"))),
    ):
        code, message = await refusal(call)
        assert code is Code.NOT_FOUND
        assert "nobody" in message
