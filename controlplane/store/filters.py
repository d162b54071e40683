"""
What a caller asks of a list becomes SQL here, from a fixed set of field names for each list.

Whatever a caller writes is a bound value of a type that every comparison takes; only names
found in a :data:`Fields` reach the text. Pages are offsets in an opaque token: lists are
short-lived, and any order must do.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, literal, not_

from controlplane.core.errors import InvalidError
from controlplane.core.lists import MAX_LIMIT, Filter, Listing, Order, Test
from controlplane.store.database import OrgTx

Value = ColumnElement[Any]
Parse = Callable[[str], Value]

_MAX_FILTERS = 50
_MAX_VALUES = 200
_MAX_OFFSET = 10_000_000

_TEXT_TESTS = frozenset({
    Test.CONTAINS,
    Test.CONTAINS_CASE_INSENSITIVE,
    Test.ENDS_WITH,
    Test.NOT_ENDS_WITH,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A column that may be named, and how a value for it is read."""

    column: Value
    parse: Parse
    is_text: bool = False


Fields = Callable[[str], Field]
"""Finds a field by its name, or raises InvalidError naming those there are."""


def texts(column: object) -> Field:
    return Field(column, literal, is_text=True)  # type: ignore[arg-type]


def numbers(column: object, parse: Callable[[str], int] = int) -> Field:
    def number(value: str) -> Value:
        try:
            whole = parse(value)
        except ValueError as error:
            raise InvalidError(f"{value!r} is not a whole number") from error
        if abs(whole) >= 2**63:
            raise InvalidError(f"{value!r} is too large a number")
        return literal(whole, BigInteger)

    return Field(column, number)  # type: ignore[arg-type]


def instants(column: object) -> Field:
    def instant(value: str) -> Value:
        try:
            at = datetime.fromisoformat(value)
            if at.tzinfo is None:
                raise InvalidError(f"{value!r} has no time zone; add Z for UTC")
            return literal(at.astimezone(UTC))
        except (ValueError, OverflowError) as error:
            raise InvalidError(
                f"{value!r} is not a time; write it as 2026-01-31T12:00:00Z"
            ) from error

    return Field(column, instant)  # type: ignore[arg-type]


def booleans(column: object) -> Field:
    def boolean(value: str) -> Value:
        if value.lower() not in {"true", "false"}:
            raise InvalidError(f"{value!r} is not true or false")
        return literal(value.lower() == "true")

    return Field(column, boolean)  # type: ignore[arg-type]


def among(fields: Mapping[str, Field]) -> Fields:
    """Find fields in ``fields`` and nowhere else."""

    def find(name: str) -> Field:
        if name not in fields:
            raise InvalidError(f"there is no field {name!r}; there are {', '.join(sorted(fields))}")
        return fields[name]

    return find


async def page(
    tx: OrgTx,
    query: Select[Any],
    fields: Fields,
    listing: Listing,
    usual: Sequence[Value],
) -> tuple[Sequence[Any], str]:
    """
    Run ``query`` as ``listing`` wants it; return rows, and the token of the next page or "".

    ``usual`` is the order where the caller wants none, and what breaks ties: it must end in
    what is unique.
    """
    if listing.limit < 1:
        raise InvalidError(f"a page of {listing.limit} rows is none; ask for 1 to {MAX_LIMIT}")
    limit = min(listing.limit, MAX_LIMIT)
    offset = _offset(listing.token)
    if len(listing.filters) > _MAX_FILTERS:
        raise InvalidError(f"{len(listing.filters)} filters; at most {_MAX_FILTERS} are taken")
    for wish in listing.filters:
        query = query.where(_condition(fields, wish))
    query = query.order_by(*(_order(fields, order) for order in listing.orders), *usual)
    rows = (await tx.connection.execute(query.offset(offset).limit(limit + 1))).all()
    return rows[:limit], _token(offset + limit) if len(rows) > limit else ""


def _order(fields: Fields, order: Order) -> Value:
    column = fields(order.field).column
    return column.asc().nulls_last() if order.ascending else column.desc().nulls_last()


def _condition(fields: Fields, wish: Filter) -> ColumnElement[bool]:
    field = fields(wish.field)
    if len(wish.values) > _MAX_VALUES:
        raise InvalidError(f"{len(wish.values)} values for {wish.field}; at most {_MAX_VALUES}")
    if wish.test in {Test.EXISTS, Test.NOT_EXISTS}:
        there = field.column.is_not(None)
        return there if wish.test is Test.EXISTS else not_(there)
    if not wish.values:
        raise InvalidError(f"the filter on {wish.field} has no value")
    if wish.test in _TEXT_TESTS and not field.is_text:
        raise InvalidError(f"{wish.field} is not text, so nothing is {wish.test} of it")
    values = [field.parse(value) for value in wish.values]
    if wish.test in {Test.IN, Test.NOT_IN}:
        one_of = field.column.in_(values)
        return one_of if wish.test is Test.IN else not_(one_of)
    if len(values) != 1:
        raise InvalidError(f"the filter on {wish.field} takes one value, not {len(values)}")
    return _compare(wish.test, field.column, values[0], wish.values[0])


def _compare(test: Test, column: Value, value: Value, raw: str) -> ColumnElement[bool]:
    match test:
        case Test.CONTAINS:
            return column.contains(raw, autoescape=True)
        case Test.CONTAINS_CASE_INSENSITIVE:
            return column.icontains(raw, autoescape=True)
        case Test.ENDS_WITH:
            return column.endswith(raw, autoescape=True)
        case Test.NOT_ENDS_WITH:
            return not_(column.endswith(raw, autoescape=True))
        case Test.NOT_EQUAL:
            return column != value
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


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"v1:{offset}".encode()).decode().rstrip("=")


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        decoded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        version, _, offset = decoded.partition(":")
        if version == "v1" and 0 <= int(offset) <= _MAX_OFFSET:
            return int(offset)
    except (binascii.Error, ValueError) as error:
        raise InvalidError("the page token is not one of ours; start at the first page") from error
    raise InvalidError("the page token is of another release; start at the first page")
