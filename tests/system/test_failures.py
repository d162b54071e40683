"""Failures: the error of a task reaches its parent, the user and the API."""

import os
import signal
from pathlib import Path

import pytest
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest
from flyteidl2.workflow.run_definition_pb2 import ActionDetails, ErrorInfo

from tests.running import until
from tests.system.api_client import ApiClient, refusal
from tests.system.stack import Stack

FAILED = ActionPhase.ACTION_PHASE_FAILED


def failure(details: ActionDetails) -> ErrorInfo:
    assert details.status.phase == FAILED, details
    return details.error_info


async def test_failure_keeps_exception_class_and_message(api: ApiClient) -> None:
    error = failure(await api.finish("failing.main", words="I am a teapot"))

    assert (error.code, error.message) == ("TeapotError", "I am a teapot")
    assert error.kind == ErrorInfo.Kind.KIND_USER


async def test_failure_of_child_raises_in_its_parent(api: ApiClient) -> None:
    [caught] = await api.result(await api.start("failing.parent", words="I am a teapot"))

    assert str(caught).startswith("RuntimeUserError TeapotError: ")
    assert "I am a teapot" in str(caught)


async def test_failure_of_child_propagates_if_not_caught(api: ApiClient) -> None:
    error = failure(await api.finish("failing.uncaught", words="I am a teapot"))

    assert error.code == "TeapotError"
    assert "I am a teapot" in error.message


async def test_failure_message_of_5_mb_is_truncated_but_whole_in_the_bucket(
    api: ApiClient, stack: Stack
) -> None:
    details = await api.finish("failing.wordy", megabytes=5)

    error = failure(details)
    assert error.code == "TeapotError"
    assert 1_000 < len(error.message) < 100_000
    assert "error.pb" in error.message
    [document] = (stack.data / "blobs").rglob(f"{details.id.run.name}/a0/1/error.pb")
    assert document.stat().st_size > 5_000_000


@pytest.mark.parametrize("code", [1, 3, 137])
async def test_failure_of_exited_process_has_exit_code(api: ApiClient, code: int) -> None:
    error = failure(await api.finish("failing.leaving", code=code))

    assert str(code) in error.message


async def test_failure_by_sys_exit(api: ApiClient) -> None:
    error = failure(await api.finish("failing.giving_up"))

    assert error.message


async def test_failure_of_task_with_missing_outputs(api: ApiClient) -> None:
    details = await api.finish("failing.promising")

    error = failure(details)
    assert "output" in error.message
    data = await api.data.get_action_data(GetActionDataRequest(action_id=details.id))
    assert not data.outputs.literals


async def test_failure_by_signal_is_named(api: ApiClient) -> None:
    error = failure(await api.finish("failing.killed", number=int(signal.SIGSEGV)))

    assert error.code == "Crashed"
    assert "SIGSEGV" in error.message


async def test_failure_by_external_kill_is_retried(api: ApiClient, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    root = await api.start("failing.dawdling", pid_file=str(pid_file))
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()))

    os.kill(int(pid_file.read_text()), signal.SIGKILL)

    details = await api.phase(root, ActionPhase.ACTION_PHASE_SUCCEEDED)
    [first, second] = details.attempts
    assert (first.phase, second.phase) == (FAILED, ActionPhase.ACTION_PHASE_SUCCEEDED)
    assert first.error_info.kind == ErrorInfo.Kind.KIND_SYSTEM
    assert "SIGKILL" in first.error_info.message


async def test_failure_of_import_quotes_the_error(api: ApiClient) -> None:
    error = failure(await api.finish("unimportable.main"))

    assert "a library that only the laptop has" in error.message


async def test_failure_by_out_of_memory_has_its_own_class(api: ApiClient) -> None:
    error = failure(await api.finish("small.hungry"))

    assert "OOM" in error.code
    assert "300 MiB" in error.message


async def test_task_over_its_timeout_fails(api: ApiClient) -> None:
    details = await api.finish("failing.slow")

    assert details.status.phase == ActionPhase.ACTION_PHASE_TIMED_OUT
    assert details.error_info.code == "MAX_RUNTIME_EXCEEDED"
    assert "2" in details.error_info.message


async def test_failed_action_shows_its_inputs(api: ApiClient) -> None:
    details = await api.finish("failing.main", words="I am a teapot")

    data = await api.data.get_action_data(GetActionDataRequest(action_id=details.id))
    assert data.inputs.literals[0].value.scalar.primitive.string_value == "I am a teapot"


async def test_missing_action_has_no_data(api: ApiClient) -> None:
    details = await api.finish("hello.nothing")
    details.id.name = "nobody"

    code, message = await refusal(
        api.data.get_action_data(GetActionDataRequest(action_id=details.id))
    )

    assert code is Code.NOT_FOUND
    assert "nobody" in message
