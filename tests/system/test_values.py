"""Values: inputs and outputs of tasks are passed unchanged."""

from flyteidl2.common.phase_pb2 import ActionPhase

from tests.system.api_client import ApiClient
from tests.system.commands import Flyte


async def test_task_returns_its_outputs(api: ApiClient) -> None:
    assert await api.result(await api.start("hello.main", name="you")) == ["Hello, you!"]


async def test_missing_input_has_its_default(api: ApiClient) -> None:
    assert await api.result(await api.start("hello.main")) == ["Hello, world!"]


async def test_synchronous_task_runs(api: ApiClient) -> None:
    assert await api.result(await api.start("hello.synchronous", number=41)) == [42]


async def test_task_without_outputs_runs(api: ApiClient) -> None:
    details = await api.finish("hello.nothing")

    assert details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert await api.outputs(details.id) == []


async def test_text_value_round_trip(api: ApiClient) -> None:
    text = "größer ✓ 漢字 🦆\n\ttab, 'quotes' and {{braces}} {{.input}} %s\x7f"

    assert await api.result(await api.start("values.echo", text=text)) == [text]


async def test_text_value_of_a_megabyte_round_trip(api: ApiClient) -> None:
    text = "0123456789" * 100_000

    assert await api.result(await api.start("values.echo", text=text)) == [text]


def test_get_io_shows_dataclasses_and_multiple_outputs(flyte: Flyte) -> None:
    output = flyte(
        *("run", "--follow", "values.py", "main"),
        *("--first", '{"celsius": 35.5, "tags": ["hot", "dry"]}'),
        *("--second", '{"celsius": 4, "tags": ["dry"]}'),
    )

    shown = flyte("get", "io", output.run).text
    assert "'celsius': 35.5" in shown or "celsius=35.5" in shown
    assert "True" in shown
    assert "None" in shown
