"""Names and labels: computed from the attempt, lawful for Kubernetes, never another's."""

import re
from dataclasses import replace

from hypothesis import given, strategies as st

from dataplane.agent.kube.objects import (
    as_label,
    find_mark,
    label_attempt,
    mark_attempt,
    name_attempt,
)
from shared.model.assignments import Assignment
from shared.model.ids import ActionKey, ActionName, DomainName, ProjectName, RunKey, RunName
from tests.unit.agent.assignments import make_assignment

_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_OPERATORS_SUFFIX = "-workers-0-0-xxxxx"

texts = st.text(min_size=1, max_size=80)


def named(run: str, action: str, project: str = "p", number: int = 1) -> Assignment:
    key = RunKey(ProjectName(project), DomainName("development"), RunName(run))
    return replace(make_assignment(number), key=ActionKey(key, ActionName(action)))


@given(texts, texts, texts)
def test_every_attempt_has_a_lawful_name_and_lawful_labels(
    run: str, action: str, project: str
) -> None:
    assignment = named(run, action, project)
    name = name_attempt(assignment, "{project}-{domain}")

    assert _NAME.fullmatch(name.name)
    assert len(name.name + _OPERATORS_SUFFIX) <= 63
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name.namespace)
    assert len(name.namespace) <= 63
    for value in label_attempt(assignment).values():
        assert _LABEL.fullmatch(value)
        assert len(value) <= 63


@given(texts, texts)
def test_the_mark_is_found_in_the_names_of_all_that_is_made_for_an_attempt(
    run: str, action: str
) -> None:
    assignment = named(re.sub("[^a-z]", "", run), re.sub("[^a-z]", "", action))
    name = name_attempt(assignment, "one").name
    mark = mark_attempt(str(assignment.attempt))

    assert find_mark(name) == mark
    assert find_mark(name + _OPERATORS_SUFFIX) == mark


def test_names_say_whose_they_are_and_differ() -> None:
    first = name_attempt(named("r1", "a1"), "{org}-{project}")
    assert first.name.startswith("r1-a1-1-")
    assert str(first).startswith("acme-p/r1-a1-1-")

    others = [
        named("r1", "a1", number=2),
        replace(named("r1", "a1"), attempt=replace(named("r1", "a1").attempt, number=2)),
        named("x" * 100, "a1", number=3),
        named("x" * 101, "a1", number=4),
    ]
    assert len({first, *(name_attempt(each, "one") for each in others)}) == 5


def test_strangers_have_no_mark() -> None:
    assert find_mark("coredns-7d764666f9-abcde") == ""
    assert find_mark("r1-a1") == ""


def test_what_a_label_may_not_hold_is_left_out() -> None:
    assert as_label("a b/ü") == "a-b"
    assert as_label("x" * 80) == "x" * 63
    assert as_label("/") == ""
