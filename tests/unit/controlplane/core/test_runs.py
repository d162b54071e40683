"""Run scopes: matching of runs by their root action."""

from dataclasses import replace

import pytest

from controlplane.core.actions import RunSource, TaskInfo
from controlplane.core.runs import RunScope
from tests.unit.controlplane.feeds.test_subscriptions import make_row

ROOT = make_row(1, 1)  # in project p, domain development


@pytest.mark.parametrize(
    ("scope", "takes"),
    [
        (RunScope(), True),
        (RunScope(project="p", domain="development"), True),
        (RunScope(project="other"), False),
        (RunScope(domain="production"), False),
        (RunScope(task_name=ROOT.info.name), True),
        (RunScope(task_name="other"), False),
        (RunScope(task_version="other"), False),
        (RunScope(project="p", task_version="other"), False),
        (RunScope(trigger_name="nightly"), False),
        (RunScope(within=frozenset({("p", "development")})), True),
        (RunScope(within=frozenset({("p", "production"), ("other", "")})), False),
    ],
)
def test_run_scope_takes_runs_that_match_all_its_fields(scope: RunScope, *, takes: bool) -> None:
    assert ROOT.info == TaskInfo()
    assert scope.takes(ROOT) is takes


def test_scopes_keep_tracked_runs_and_others_apart() -> None:
    tracked = replace(ROOT, source=RunSource.TRACKED)
    assert [RunScope(tracked=True).takes(root) for root in (tracked, ROOT)] == [True, False]
    assert [RunScope().takes(root) for root in (tracked, ROOT)] == [False, True]
