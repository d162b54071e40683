"""Logs: the output of a task is readable while it runs, and afterwards."""

import json
from pathlib import Path
from typing import Any

import httpx
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_pb2 import TailLogsRequest
from flyteidl2.workflow.run_logs_service_connect import RunLogsServiceClient
from flyteidl2.workflow.run_logs_service_pb2 import TailLogsRequest as OlderTailLogsRequest

from tests.system.api_client import ApiClient, action_id, refusal
from tests.system.commands import DOMAIN, PROJECT, Flyte


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


async def test_log_is_the_same_at_its_older_address(api: ApiClient) -> None:
    details = await api.finish("talking.main", lines=100)

    request = OlderTailLogsRequest(action_id=details.id, attempt=1)
    answers = RunLogsServiceClient(api.url).tail_logs(request, timeout_ms=60_000)
    lines = [line.message async for answer in answers for log in answer.logs for line in log.lines]

    assert "line 99\n" in lines
    assert "".join(lines) == await api.log(details.id)


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


async def test_followed_log_of_a_silent_task_gets_answers_without_lines(
    api: ApiClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    root = await api.start("talking.until", gate=str(gate))
    await api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)

    text = ""
    async for answer in api.data.tail_logs(TailLogsRequest(action_id=root, attempt=1)):
        text += "".join(line.message for logs in answer.logs for line in logs.lines)
        if "before the gate" in text and not answer.logs:
            gate.touch()  # without such an answer, the SDK gives up after 30 seconds

    assert "after the gate" in text


async def test_log_is_read_and_followed_over_plain_http(api: ApiClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    root = await api.start("talking.until", gate=str(gate))
    await api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)
    path = (
        f"/api/v1/orgs/-/projects/{PROJECT}/domains/{DOMAIN}/runs/{root.run.name}/actions/a0/logs"
    )
    async with httpx.AsyncClient(base_url=api.url, timeout=60) as http:
        texts: list[str] = []
        growing: Any = None
        follow = {"follow": "true", "attempt": "1"}
        async with http.stream("GET", path, params=follow) as answer:
            async for line in answer.aiter_lines():
                texts += [json.loads(line)["message"]] if line else []
                if "before the gate\n" in texts and not gate.exists():
                    growing = (await http.get(path)).json()
                    gate.touch()
        whole = (await http.get(path)).json()

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "".join(texts) == await api.log(root)
    assert "complete" not in growing
    assert "before the gate" in [each["text"] for each in growing["lines"]]
    assert whole["complete"]
    assert [f"{each['text']}\n" for each in whole["lines"]] == texts


async def test_progress_bar_is_followed_and_is_one_line_in_the_end(
    api: ApiClient, tmp_path: Path
) -> None:
    bar = tmp_path / "bar"
    bar.write_text("\r1/3 é漢")
    root = await api.start("talking.copy_out", source=str(bar))

    shown: list[str] = []
    async for message in api.tail(root):
        line = message.removesuffix("\n")
        if line.endswith("é漢"):
            shown.append(line)
        with bar.open("a") as file:
            match line:
                case "1/3 é漢":
                    file.write("\r2/3 é漢")
                case "2/3 é漢":
                    file.write("\r3/3 é漢")
                case "3/3 é漢":
                    file.write("\nend\n")
                case _:
                    pass

    states = ["1/3 é漢", "2/3 é漢", "3/3 é漢"]
    assert shown == states
    log = (await api.log(root)).splitlines()
    assert [line for line in log if line in {*states, "end"}] == ["3/3 é漢", "end"]


async def test_prompt_is_followed_before_its_line_ends(api: ApiClient, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt"
    prompt.write_text("Name? ")
    root = await api.start("talking.copy_out", source=str(prompt))

    async for line in api.tail(root):
        if line == "Name? \n":
            with prompt.open("a") as file:
                file.write("Ann\nend\n")

    assert "Name? Ann\n" in await api.log(root)


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
