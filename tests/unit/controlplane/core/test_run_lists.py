"""Tests of filters and periods of lists of runs."""

from datetime import timedelta

import pytest

from controlplane.core import lists
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter
from controlplane.core.run_lists import RunFilter, RunSummary, period_of
from shared.model.phases import Phase
from tests.factories import NOW

HOUR = timedelta(hours=1)


def test_filter_without_fields_has_no_conditions() -> None:
    assert RunFilter(project="p", domain="d", task="t").conditions() == []


def test_filter_has_a_condition_for_each_field() -> None:
    chosen = RunFilter(
        phases=frozenset({Phase.FAILED, Phase.ABORTED}),
        created_by="user:ada",
        text="train",
        labels={"team": "vision"},
        archived=False,
        since=NOW,
        until=NOW + HOUR,
    )
    assert chosen.conditions() == [
        Filter("labels.team", lists.Test.EQUAL, ["vision"]),
        Filter("phase", lists.Test.IN, ["FAILED", "ABORTED"]),
        Filter("created_by", lists.Test.EQUAL, ["user:ada"]),
        Filter("run_name", lists.Test.CONTAINS_CASE_INSENSITIVE, ["train"]),
        Filter("archived", lists.Test.EQUAL, ["false"]),
        Filter("created_at", lists.Test.GREATER_OR_EQUAL, [NOW.isoformat()]),
        Filter("created_at", lists.Test.LESS, [(NOW + HOUR).isoformat()]),
    ]


def test_period_of_a_summary_ends_now_unless_named() -> None:
    assert period_of(RunFilter(since=NOW - HOUR), NOW) == (NOW - HOUR, NOW)
    named = RunFilter(since=NOW - HOUR, until=NOW - HOUR / 2)
    assert period_of(named, NOW) == (NOW - HOUR, NOW - HOUR / 2)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (RunFilter(), "filter.since: is required"),
        (RunFilter(since=NOW), "filter.until: must be after since"),
        (RunFilter(since=NOW - timedelta(days=4000)), "at most 3660 days"),
    ],
)
def test_bad_period_of_a_summary_is_refused(chosen: RunFilter, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        period_of(chosen, NOW)


def test_summary_adds_up_its_buckets() -> None:
    buckets = [{Phase.FAILED: 1}, {}, {Phase.FAILED: 2, Phase.RUNNING: 1}]
    found = RunSummary(since=NOW, until=NOW + HOUR, buckets=buckets)
    assert found.phases == {Phase.FAILED: 3, Phase.RUNNING: 1}
