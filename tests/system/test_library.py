"""``flyte`` as a library, in a script of the user's."""

from uuid import uuid4

import pytest

from tests.system.commands import Flyte


def test_script_runs_a_task_and_gets_typed_outputs(flyte: Flyte) -> None:
    output = flyte.script("waiting.py", "hot")

    assert "Summary ['hot'] True None" in output.text


def test_script_runs_a_deployed_task_and_gets_its_failure(flyte: Flyte) -> None:
    output = flyte.script("catching.py", "failing.main", "I am a teapot")

    assert "FAILED" in output.text.upper()
    assert "TeapotError" in output.text
    assert "I am a teapot" in output.text


@pytest.mark.parametrize("how", ["bundled", "pickled"])
def test_script_runs_its_own_task(flyte: Flyte, how: str) -> None:
    output = flyte.script("in_place.py", how, "one", "two")

    assert "['ONE', 'TWO']" in output.text


def test_second_delivery_of_a_webhook_finds_the_run_of_the_first(flyte: Flyte) -> None:
    output = flyte.script("once.py", "hello.main", f"delivery-{uuid4()}")

    assert "created [True, False, True]" in output.text
    assert "same run True" in output.text
