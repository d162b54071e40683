"""Logs: the output of a task is readable while it runs, and afterwards."""

from pathlib import Path

from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_pb2 import TailLogsRequest

from tests.system.api_client import ApiClient, action_id, refusal
from tests.system.commands import Flyte


async def test_log_lines_are_in_order(api: ApiClient) -> None:
    details = await api.finish("talking.main", lines=1000)

    log = await api.log(details.id)
    assert [line for line in log.splitlines() if line.startswith("line")] == [
        f"line {number}" for number in range(1000)
    ]


async def test_log_has_stdout_and_stderr_and_unicode(api: ApiClient) -> None:
    details = await api.finish("talking.main", lines=0)

    log = await api.log(details.id)
    assert "to the side\n" in log
    assert "größer ✓ 漢字\n" in log


async def test_log_of_parent_has_no_sdk_warnings(api: ApiClient) -> None:
    details = await api.finish("nested.main")

    complaints = [
        line
        for line in (await api.log(details.id)).splitlines()
        if ("WARNING" in line or "ERROR" in line) and "Flyte runtime" not in line
    ]
    assert complaints == []


async def test_log_is_followed_while_the_task_runs(api: ApiClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    root = await api.start("talking.until", gate=str(gate))
    await api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)

    seen = ""
    async for line in api.tail(root):
        seen += line
        if "before the gate" in line:
            gate.touch()

    assert gate.exists()
    assert "after the gate, attempt 0" in seen


async def test_log_keeps_binary_and_unterminated_lines(api: ApiClient) -> None:
    details = await api.finish("talking.odd")

    assert details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    log = await api.log(details.id)
    assert "broken bytes" in log
    assert "no newline at the end" in log
    assert log.count("x") >= 1_000


async def test_logs_command_shows_finished_run(api: ApiClient, flyte: Flyte) -> None:
    details = await api.finish("talking.main", lines=3)

    assert "line 2" in flyte("get", "logs", details.id.run.name).text


async def test_log_of_action_without_log_is_not_found(api: ApiClient) -> None:
    details = await api.finish("hello.main")

    for action, attempt in ((details.id, 2), (action_id("nobody"), 1)):
        code, message = await refusal(
            anext(api.data.tail_logs(TailLogsRequest(action_id=action, attempt=attempt)))
        )
        assert code is Code.NOT_FOUND
        assert message
