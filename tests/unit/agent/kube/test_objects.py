"""Tests of an attempt's names and labels: deterministic, valid for Kubernetes, unique."""

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
def test_attempt_name_and_labels_are_valid(run: str, action: str, project: str) -> None:
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
def test_attempt_mark_is_found_in_names_of_its_objects(run: str, action: str) -> None:
    assignment = named(re.sub("[^a-z]", "", run), re.sub("[^a-z]", "", action))
    name = name_attempt(assignment, "one").name
    mark = mark_attempt(str(assignment.attempt))

    assert find_mark(name) == mark
    assert find_mark(name + _OPERATORS_SUFFIX) == mark


def test_attempt_names_are_readable_and_unique() -> None:
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


def test_foreign_names_have_no_attempt_mark() -> None:
    assert find_mark("coredns-7d764666f9-abcde") == ""
    assert find_mark("r1-a1") == ""


def test_attempt_mark_is_last_match() -> None:
    assignment = named("r-1", "abcdef123456")
    name = name_attempt(assignment, "one").name
    assert name.startswith("r-1-abcdef123456-")
    assert find_mark(name) == mark_attempt(str(assignment.attempt))


def test_short_attempt_mark_of_earlier_release_is_found() -> None:
    attempt = str(named("r1", "a1").attempt)
    assert find_mark(f"r1-a1-{short_mark_of(attempt)}") == short_mark_of(attempt)
    assert mark_attempt(attempt).startswith(short_mark_of(attempt))
