"""States of runs, and reasons of holds, as people send them."""

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.run_states import RunState, parse_reason, parse_state


@pytest.mark.parametrize("text", ["archived", "ARCHIVED", "EXECUTION_ARCHIVED", "1"])
def test_archived_is_known_by_its_plain_name_and_by_flyteadmins(text: str) -> None:
    assert parse_state(text) is RunState.ARCHIVED


@pytest.mark.parametrize("text", ["active", "EXECUTION_ACTIVE", "0"])
def test_active_is_known_by_its_plain_name_and_by_flyteadmins(text: str) -> None:
    assert parse_state(text) is RunState.ACTIVE


@pytest.mark.parametrize("text", ["", "deleted", "2", " archived"])
def test_unknown_state_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="send active or archived"):
        parse_state(text)


def test_reason_of_a_hold_is_one_line_without_spaces_around_it() -> None:
    assert parse_reason("  audit of 2026, until May ") == "audit of 2026, until May"
    assert parse_reason("x" * 500) == "x" * 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  ", "is required"),
        ("x" * 501, "at most 500 characters, not 501"),
        ("two\nlines", "send one line"),
    ],
)
def test_reason_that_is_missing_long_or_not_one_line_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        parse_reason(text)
