"""What goes into tasks comes out of them."""

from flyteidl2.common.phase_pb2 import ActionPhase

from tests.system.commands import Flyte
from tests.system.door import Door


async def test_a_task_returns_what_it_made_of_its_inputs(door: Door) -> None:
    assert await door.result(await door.start("hello.main", name="you")) == ["Hello, you!"]


async def test_an_input_that_is_left_out_has_its_default(door: Door) -> None:
    assert await door.result(await door.start("hello.main")) == ["Hello, world!"]


async def test_a_task_that_is_not_a_coroutine_runs_too(door: Door) -> None:
    assert await door.result(await door.start("hello.synchronous", number=41)) == [42]


async def test_a_task_may_return_nothing(door: Door) -> None:
    details = await door.finish("hello.nothing")

    assert details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert await door.outputs(details.id) == []


async def test_text_of_every_kind_comes_back_as_it_was(door: Door) -> None:
    text = "größer ✓ 漢字 🦆\n\ttab, 'quotes' and {{braces}} {{.input}} %s\x7f"

    assert await door.result(await door.start("values.echo", text=text)) == [text]


async def test_a_text_of_a_megabyte_comes_back_whole(door: Door) -> None:
    text = "0123456789" * 100_000

    assert await door.result(await door.start("values.echo", text=text)) == [text]


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
