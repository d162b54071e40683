"""What goes into tasks comes out of them."""

from flyteidl2.common.phase_pb2 import ActionPhase

from tests.system.api_client import ApiClient
from tests.system.commands import Flyte


async def test_a_task_returns_what_it_made_of_its_inputs(api: ApiClient) -> None:
    assert await api.result(await api.start("hello.main", name="you")) == ["Hello, you!"]


async def test_an_input_that_is_left_out_has_its_default(api: ApiClient) -> None:
    assert await api.result(await api.start("hello.main")) == ["Hello, world!"]


async def test_a_task_that_is_not_a_coroutine_runs_too(api: ApiClient) -> None:
    assert await api.result(await api.start("hello.synchronous", number=41)) == [42]


async def test_a_task_may_return_nothing(api: ApiClient) -> None:
    details = await api.finish("hello.nothing")

    assert details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert await api.outputs(details.id) == []


async def test_text_of_every_kind_comes_back_as_it_was(api: ApiClient) -> None:
    text = "größer ✓ 漢字 🦆\n\ttab, 'quotes' and {{braces}} {{.input}} %s\x7f"

    assert await api.result(await api.start("values.echo", text=text)) == [text]


async def test_a_text_of_a_megabyte_comes_back_whole(api: ApiClient) -> None:
    text = "0123456789" * 100_000

    assert await api.result(await api.start("values.echo", text=text)) == [text]


def test_dataclasses_several_results_and_none_are_shown_by_the_command(flyte: Flyte) -> None:
    said = flyte(
        *("run", "--follow", "values.py", "main"),
        *("--first", '{"celsius": 35.5, "tags": ["hot", "dry"]}'),
        *("--second", '{"celsius": 4, "tags": ["dry"]}'),
    )

    shown = flyte("get", "io", said.run).text
    assert "'celsius': 35.5" in shown or "celsius=35.5" in shown
    assert "True" in shown
    assert "None" in shown
