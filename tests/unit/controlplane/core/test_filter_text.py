"""Filters written as text."""

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.filter_text import FUNCTIONS, MAX_TEXT, parse_filters
from controlplane.core.lists import Filter, Test as By


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_a_test_of_lists(function: str) -> None:
    assert parse_filters(f"{function}(name,x)") == [Filter("name", FUNCTIONS[function], ["x"])]


@pytest.mark.parametrize(
    "text",
    [
        "eq(phase,FAILED)+gte(created_at,2026-01-01T00:00:00+01:00)",
        "eq(phase,FAILED) gte(created_at,2026-01-01T00:00:00+01:00)",
        " EQ(phase, FAILED) + gte( created_at ,2026-01-01T00:00:00+01:00)+",
    ],
)
def test_filters_are_separated_by_plus_or_spaces(text: str) -> None:
    assert parse_filters(text) == [
        Filter("phase", By.EQUAL, ["FAILED"]),
        Filter("created_at", By.GREATER_OR_EQUAL, ["2026-01-01T00:00:00+01:00"]),
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("50%", "50%"),
        ("50%25", "50%"),
        ("%2528", "%28"),
        ("a%28b%29c%2Cd%2be", "a(b)c,d+e"),
        ("a,b;c", "a,b;c"),
        ("100%20", "100%20"),
        ("", ""),
    ],
)
def test_value_may_hold_every_character(written: str, value: str) -> None:
    assert parse_filters(f"contains(name,{written})") == [Filter("name", By.CONTAINS, [value])]


def test_values_of_value_in_are_separated_by_semicolons() -> None:
    assert parse_filters("value_in(name,a; b;c%3Bd)") == [Filter("name", By.IN, ["a", "b", "c;d"])]


def test_field_may_be_a_label() -> None:
    assert parse_filters("eq(labels.team/part-1,x)")[0].field == "labels.team/part-1"


def test_no_text_is_no_filter() -> None:
    assert parse_filters("") == []
    assert parse_filters(" + ") == []


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("eq(name,x", 1),
        ("eq(name,x))", 11),
        ("eq(name,(x)", 1),
        ("eq(name)", 1),
        ("eq(a b,0)", 1),
        ("name=x", 1),
        ("eq(name,x)eq(name,y)", 11),
        ("eq(name,x)+ne(name", 12),
    ],
)
def test_refusal_names_the_position_of_what_is_no_filter(text: str, position: int) -> None:
    with pytest.raises(InvalidError, match=f"at character {position} is not a filter"):
        parse_filters(text)


def test_refusal_lists_the_functions() -> None:
    with pytest.raises(InvalidError, match=r"'like' is not known; there are eq, ne, gt"):
        parse_filters("like(name,x)")


def test_long_text_is_refused() -> None:
    with pytest.raises(InvalidError, match=f"at most {MAX_TEXT}"):
        parse_filters("x" * (MAX_TEXT + 1))
