"""Abort stops a run or action with everything it has started, and is final."""

from collections.abc import Sequence
from pathlib import Path

import psutil
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import AbortActionRequest, AbortRunRequest

from tests.running import until
from tests.system.api_client import ApiClient, action_id, refusal, run_id
from tests.system.commands import Flyte

ABORTED = ActionPhase.ACTION_PHASE_ABORTED


async def processes(pids: Path, *names: str) -> Sequence[psutil.Process]:
    """Wait until these tasks have written down the pids of what they are; return those."""
    files = [pids / name for name in names]
    await until(lambda: all(file.exists() and file.read_text() for file in files))
    return [psutil.Process(int(pid)) for file in files for pid in file.read_text().split()]


async def are_gone(running: Sequence[psutil.Process]) -> None:
    await until(lambda: not any(one.is_running() for one in running), output=lambda: str(running))


async def test_abort_run_kills_every_process(api: ApiClient, flyte: Flyte, tmp_path: Path) -> None:
    root = await api.start("endless.main", pids=str(tmp_path))
    running = await processes(tmp_path, "main", "left", "right")
    assert len(running) == 5

    flyte("abort", "run", root.run.name, "--reason", "enough")

    await are_gone(running)
    details = await api.ended(root)
    phases = {child.status.phase for child in await api.children(root)}
    assert {details.status.phase} | phases == {ABORTED}
    assert details.abort_info.reason == "enough"
    assert details.abort_info.aborted_by.user.id.subject == "anonymous"


async def test_abort_action_raises_in_its_parent(
    api: ApiClient, flyte: Flyte, tmp_path: Path
) -> None:
    root = await api.start("endless.catching", pids=str(tmp_path))
    running = await processes(tmp_path, "only")
    [child] = await api.children(root)

    flyte("abort", "action", root.run.name, child.id.name, "--reason", "this one")

    await are_gone(running)
    [output] = await api.result(root)
    assert str(output).startswith("aborted: ")
    assert (await api.details(child.id)).abort_info.reason == "this one"


async def test_abort_child_cancelled_by_its_parent(api: ApiClient, tmp_path: Path) -> None:
    root = await api.start("endless.cancelling", pids=str(tmp_path))
    running = await processes(tmp_path, "only")

    assert await api.result(root) == ["cancelled"]
    await are_gone(running)
    [child] = await api.children(root)
    assert child.status.phase == ABORTED


async def test_abort_of_finished_run_changes_nothing(api: ApiClient) -> None:
    details = await api.finish("hello.main")

    await api.runs.abort_run(AbortRunRequest(run_id=details.id.run, reason="too late"))
    await api.runs.abort_action(AbortActionRequest(action_id=details.id, reason="too late"))

    assert await api.details(details.id) == details


async def test_abort_keeps_the_first_reason(api: ApiClient, tmp_path: Path) -> None:
    root = await api.start("endless.main", pids=str(tmp_path))
    for reason in ("first", "second"):
        await api.runs.abort_run(AbortRunRequest(run_id=root.run, reason=reason))

    assert (await api.ended(root)).abort_info.reason == "first"


async def test_abort_run_waiting_for_a_condition(api: ApiClient) -> None:
    root = await api.start("approval.main", kind="bool")
    await api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)

    await api.runs.abort_run(AbortRunRequest(run_id=root.run, reason="nobody answers"))

    await api.ended(root)
    assert {child.status.phase for child in await api.children(root)} <= {ABORTED}


async def test_abort_of_missing_run_names_it(api: ApiClient) -> None:
    for call in (
        api.runs.abort_run(AbortRunRequest(run_id=run_id("nobody"))),
        api.runs.abort_action(AbortActionRequest(action_id=action_id("nobody"))),
    ):
        code, message = await refusal(call)
        assert code is Code.NOT_FOUND
        assert "nobody" in message
