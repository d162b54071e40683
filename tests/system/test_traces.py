"""Traced steps are actions without a process, and are not done twice."""

from pathlib import Path

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_definition_pb2 import ActionType

from tests.system.api_client import ApiClient


async def test_trace_is_an_action_of_the_run(api: ApiClient, tmp_path: Path) -> None:
    details = await api.finish("steps.main", journal=str(tmp_path / "journal"))

    traces = await api.children(details.id)
    assert [trace.metadata.trace.name for trace in traces] == ["costly", "costly"]
    assert all(trace.metadata.action_type == ActionType.ACTION_TYPE_TRACE for trace in traces)
    assert all(trace.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED for trace in traces)


async def test_trace_is_not_repeated_after_a_crash(api: ApiClient, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    details = await api.finish("steps.main", journal=str(journal))

    assert details.status.attempts == 2
    assert await api.outputs(details.id) == ["ONE TWO"]
    assert journal.read_text().split() == ["one", "two"]


async def test_trace_outputs_are_readable(api: ApiClient, tmp_path: Path) -> None:
    details = await api.finish("steps.main", journal=str(tmp_path / "journal"))

    outputs = [await api.outputs(trace.id) for trace in await api.children(details.id)]
    assert sorted(outputs, key=str) == [["ONE"], ["TWO"]]


async def test_trace_failure_is_a_failed_action(api: ApiClient) -> None:
    details = await api.finish("steps.failing")

    assert await api.outputs(details.id) == ["caught: no step here"]
    [trace] = await api.children(details.id)
    found = await api.details(trace.id)
    assert found.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert "no step here" in found.error_info.message
