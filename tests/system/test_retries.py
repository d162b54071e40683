"""Every attempt counts from one, and keeps its own error, log and place for outputs."""

from pathlib import Path

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.system.api_client import ApiClient

FAILED, SUCCEEDED = ActionPhase.ACTION_PHASE_FAILED, ActionPhase.ACTION_PHASE_SUCCEEDED


async def test_retry_keeps_the_error_of_each_attempt(api: ApiClient) -> None:
    details = await api.finish("retrying.main", failures=2)

    assert [attempt.attempt for attempt in details.attempts] == [1, 2, 3]
    assert [attempt.phase for attempt in details.attempts] == [FAILED, FAILED, SUCCEEDED]
    assert [attempt.error_info.message for attempt in details.attempts] == [
        "attempt 0 is not the one",
        "attempt 1 is not the one",
        "",
    ]


async def test_retry_outputs_are_of_the_succeeded_attempt(api: ApiClient) -> None:
    assert await api.result(await api.start("retrying.main", failures=1)) == ["attempt 1"]


async def test_retries_exhausted_fail_with_the_last_error(api: ApiClient) -> None:
    details = await api.finish("retrying.main", failures=9)

    assert details.status.phase == FAILED
    assert details.status.attempts == 3
    assert details.error_info.message == "attempt 2 is not the one"


async def test_non_recoverable_error_is_not_retried(api: ApiClient) -> None:
    details = await api.finish("retrying.hopeless")

    assert details.status.phase == FAILED
    assert details.status.attempts == 1
    assert "never again" in details.error_info.message


async def test_retry_keeps_the_log_of_each_attempt(api: ApiClient) -> None:
    details = await api.finish("retrying.main", failures=1)

    for attempt, words in ((1, "attempt 0\n"), (2, "attempt 1\n")):
        log = await api.log(details.id, attempt=attempt)
        assert [line for line in log.splitlines(keepends=True) if line.startswith("att")] == [words]


@pytest.mark.parametrize("way", ["exit", "kill"])
async def test_retry_of_parent_does_not_rerun_finished_children(
    api: ApiClient, tmp_path: Path, way: str
) -> None:
    journal = tmp_path / "journal"
    root = await api.start("crashing.main", journal=str(journal), way=way)

    assert await api.result(root) == [3]
    assert sorted(journal.read_text().splitlines()) == [
        "child 0",
        "child 1",
        "child 2",
        "parent 0",
        "parent 1",
    ]
    assert [child.status.attempts for child in await api.children(root)] == [1, 1, 1]


async def test_retry_reads_the_checkpoint_of_the_previous_attempt(api: ApiClient) -> None:
    assert await api.result(await api.start("saving.main")) == ["half of it"]
