"""Names and labels: computed from the attempt, lawful for Kubernetes, never another's."""

import re
from dataclasses import replace

from hypothesis import given, strategies as st

from dataplane.agent.kube.objects import (
    find_mark,
    label_attempt,
    mark_attempt,
    name_attempt,
    short_mark_of,
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


def test_a_name_that_looks_like_a_mark_does_not_hide_the_mark() -> None:
    assignment = named("r-1", "abcdef123456")
    name = name_attempt(assignment, "one").name
    assert name.startswith("r-1-abcdef123456-")
    assert find_mark(name) == mark_attempt(str(assignment.attempt))


def test_an_object_of_an_earlier_release_is_found_by_its_shorter_mark() -> None:
    attempt = str(named("r1", "a1").attempt)
    assert find_mark(f"r1-a1-{short_mark_of(attempt)}") == short_mark_of(attempt)
    assert mark_attempt(attempt).startswith(short_mark_of(attempt))
