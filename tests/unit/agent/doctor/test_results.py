"""Findings are told to people a line each, to programs as JSON, and always with a remedy."""

import json
from datetime import timedelta

import pytest

from dataplane.agent.doctor.clocks import check_skew
from dataplane.agent.doctor.results import (
    CheckResult,
    Outcome,
    fault,
    fine,
    is_well,
    render_json,
    render_text,
    warning,
)

FOUND = [
    fine("kubernetes", "the API server answers"),
    warning("storage", "it signs no links", "use a bucket"),
    fault("clock", "40.0 s behind", "let NTP set it"),
]


def test_people_read_what_to_do_below_what_is_wrong() -> None:
    assert render_text(FOUND).splitlines() == [
        "ok    kubernetes  the API server answers",
        "warn  storage     it signs no links",
        "                  → use a bucket",
        "FAIL  clock       40.0 s behind",
        "                  → let NTP set it",
    ]


def test_programs_read_the_same() -> None:
    output = json.loads(render_json(FOUND))
    assert output["well"] is False
    assert output["findings"][1] == {
        "about": "storage",
        "outcome": "warn",
        "text": "it signs no links",
        "remedy": "use a bucket",
    }


def test_inconclusive_check_is_no_failure() -> None:
    assert is_well(FOUND[:2])
    assert is_well([])
    assert not is_well(FOUND)


def test_failed_check_names_a_remedy() -> None:
    with pytest.raises(AssertionError):
        CheckResult(about="clock", outcome=Outcome.FAIL, text="wrong")


@pytest.mark.parametrize(
    ("seconds", "outcome", "words"),
    [
        (0, Outcome.OK, "within 5 s of ours"),
        (-5, Outcome.OK, "within 5 s of ours"),
        (5.5, Outcome.WARN, "5.5 s ahead of ours"),
        (-30, Outcome.WARN, "30.0 s behind ours"),
        (31, Outcome.FAIL, "31.0 s ahead of ours"),
    ],
)
def test_small_clock_skew_is_tolerated(seconds: float, outcome: Outcome, words: str) -> None:
    found = check_skew(timedelta(seconds=seconds), "ours")
    assert (found.outcome, found.text) == (outcome, words)
