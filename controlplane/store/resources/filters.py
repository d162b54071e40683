"""
Translates a caller's filters into SQL, with a fixed set of field names for each list.

A caller's values are always bound, with a type that every comparison takes; only names found in
a :data:`Fields` become SQL text. A row without a value in a field passes NOT_EQUAL, NOT_IN and
NOT_ENDS_WITH: a missing value is not equal. ``pages`` paginates the query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, Uuid, literal, not_, or_

from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test

Value = ColumnElement[Any]
Parse = Callable[[str], Value]

_MAX_FILTERS = 50
_MAX_VALUES = 200

_TEXT_TESTS = frozenset({
    Test.CONTAINS,
    Test.CONTAINS_CASE_INSENSITIVE,
    Test.ENDS_WITH,
    Test.NOT_ENDS_WITH,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A column that filters and orders may name, with the parser of its values."""

    column: Value
    parse: Parse
    is_text: bool = False
    is_moving: bool = False
    """All values grow with time and keep their order, so that pages are by offset."""

    @property
    def is_nullable(self) -> bool:
        return getattr(self.column, "nullable", True)


Fields = Callable[[str], Field]
"""Finds a field by its name, or raises InvalidError naming the known fields."""


def text_field(column: object) -> Field:
    return Field(column, literal, is_text=True)  # type: ignore[arg-type]


def numbers(column: object, parse: Callable[[str], int] = int, *, is_moving: bool = False) -> Field:
    def number(value: str) -> Value:
        try:
            whole = parse(value)
        except ValueError as error:
            raise InvalidError(f"{value!r} is not a whole number") from error
        if abs(whole) >= 2**63:
            raise InvalidError(f"{value!r} is too large a number")
        return literal(whole, BigInteger)

    return Field(column, number, is_moving=is_moving)  # type: ignore[arg-type]


def timestamp_field(column: object) -> Field:
    def parse_timestamp(value: str) -> Value:
        try:
            at = datetime.fromisoformat(value)
            if at.tzinfo is None:
                raise InvalidError(f"{value!r} has no time zone; add Z for UTC")
            return literal(at.astimezone(UTC))
        except (ValueError, OverflowError) as error:
            raise InvalidError(
                f"{value!r} is not a time; write it as 2026-01-31T12:00:00Z"
            ) from error

    return Field(column, parse_timestamp)  # type: ignore[arg-type]


def booleans(column: object) -> Field:
    def boolean(value: str) -> Value:
        if value.lower() not in {"true", "false"}:
            raise InvalidError(f"{value!r} is not true or false")
        return literal(value.lower() == "true")

    return Field(column, boolean)  # type: ignore[arg-type]


def uuids(column: object) -> Field:
    def uuid(value: str) -> Value:
        try:
            return literal(UUID(value), Uuid)
        except ValueError as error:
            raise InvalidError(f"{value!r} is not a UUID") from error

    return Field(column, uuid)  # type: ignore[arg-type]


def among(fields: Mapping[str, Field]) -> Fields:
    """Return a lookup of ``fields``; other names raise InvalidError."""

    def find(name: str) -> Field:
        if name not in fields:
            raise InvalidError(f"unknown field {name!r}; known are {', '.join(sorted(fields))}")
        return fields[name]

    return find


def restrict(query: Select[Any], fields: Fields, filters: Sequence[Filter]) -> Select[Any]:
    """Add the filters to a query, joined by AND; InvalidError for an invalid filter."""
    if len(filters) > _MAX_FILTERS:
        raise InvalidError(f"{len(filters)} filters; at most {_MAX_FILTERS} are allowed")
    return query.where(*(_condition(fields, each) for each in filters))


def _condition(fields: Fields, condition: Filter) -> ColumnElement[bool]:
    field = fields(condition.field)
    if len(condition.values) > _MAX_VALUES:
        raise InvalidError(
            f"{len(condition.values)} values for {condition.field}; at most {_MAX_VALUES}"
        )
    if condition.test in {Test.EXISTS, Test.NOT_EXISTS}:
        there = field.column.is_not(None)
        return there if condition.test is Test.EXISTS else not_(there)
    if not condition.values:
        raise InvalidError(f"the filter on {condition.field} has no value")
    if condition.test in _TEXT_TESTS and not field.is_text:
        raise InvalidError(f"{condition.field} is not text: it has no {condition.test}")
    values = [field.parse(value) for value in condition.values]
    if condition.test in {Test.IN, Test.NOT_IN}:
        one_of = field.column.in_(values)
        return one_of if condition.test is Test.IN else _or_missing(field.column, not_(one_of))
    if len(values) != 1:
        raise InvalidError(f"the filter on {condition.field} takes one value, not {len(values)}")
    return _compare(condition.test, field.column, values[0], condition.values[0])


def _compare(test: Test, column: Value, value: Value, raw: str) -> ColumnElement[bool]:
    match test:
        case Test.CONTAINS:
            return column.contains(raw, autoescape=True)
        case Test.CONTAINS_CASE_INSENSITIVE:
            return column.icontains(raw, autoescape=True)
        case Test.ENDS_WITH:
            return column.endswith(raw, autoescape=True)
        case Test.NOT_ENDS_WITH:
            return _or_missing(column, not_(column.endswith(raw, autoescape=True)))
        case Test.NOT_EQUAL:
            return column.is_distinct_from(value)
        case Test.GREATER:
            return column > value
        case Test.GREATER_OR_EQUAL:
            return column >= value
        case Test.LESS:
            return column < value
        case Test.LESS_OR_EQUAL:
            return column <= value
        case _:
            return column == value


def _or_missing(column: Value, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return or_(column.is_(None), condition)
