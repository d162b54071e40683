"""Groups of runs: which runs they take, and what a watcher is sent again."""

from dataclasses import replace
from datetime import timedelta

from controlplane.core.task_groups import GroupScope, SentGroups, TaskGroup
from shared.model.ids import DomainName, ProjectName
from shared.model.phases import Phase
from tests.factories import NOW
from tests.unit.action_rows import ROW

SCOPE = GroupScope(project=ProjectName("p"), domain=DomainName("development"), start=NOW)
A, B = TaskGroup(task_name="env.a", total=1), TaskGroup(task_name="env.b", total=1)


def test_scope_takes_runs_of_its_project_and_window() -> None:
    root = replace(ROW, created_at=NOW)
    run = root.key.run
    scope = replace(SCOPE, project=run.project, domain=run.domain)

    assert scope.takes(root)
    assert not replace(scope, project=ProjectName("other")).takes(root)
    assert not replace(scope, domain=DomainName("production")).takes(root)
    assert not replace(scope, start=NOW + timedelta(seconds=1)).takes(root)
    assert not replace(scope, end=NOW).takes(root)
    assert replace(scope, end=NOW + timedelta(seconds=1)).takes(root)


def test_failure_rate_is_the_part_of_all_runs() -> None:
    group = TaskGroup(task_name="env.a", total=4, phases={Phase.FAILED: 1, Phase.RUNNING: 3})
    assert group.failure_rate == 0.25
    assert TaskGroup(task_name="env.a").failure_rate == 0


def test_group_is_sent_again_only_if_it_changed() -> None:
    sent = SentGroups()
    assert sent.take_changed([], [A, B]) == ([A, B], [])
    assert set(sent.names) == {"env.a", "env.b"}

    later = replace(B, total=2)
    assert sent.take_changed(["env.a", "env.b"], [A, later]) == ([later], [])
    assert sent.take_changed(["env.b"], [later]) == ([], [])


def test_group_without_runs_is_named_once_if_it_was_sent() -> None:
    sent = SentGroups()
    sent.take_changed([], [A])

    assert sent.take_changed(["env.a", "env.never-sent"], []) == ([], ["env.a"])
    assert sent.take_changed(["env.a"], []) == ([], [])
    assert sent.take_changed(["env.a"], [A]) == ([A], [])
