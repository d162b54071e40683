"""
Paginates lists by keyset: the next page begins after the last row's values.

So rows that are inserted or deleted while a caller pages neither repeat nor hide others; only a
row whose own value in the order changes may be seen twice or be missed. An order by values
that all grow with time (durations of running actions) is paged by offset.

A token is opaque to callers and valid for the order that it was made in. Its content is parsed
like a filter's values: a forged token is refused, or finds another page of the same list.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, or_

from controlplane.core.errors import InvalidError
from controlplane.core.lists import MAX_LIMIT, Listing
from controlplane.store.database import OrgTx
from controlplane.store.resources.filters import Field, Fields, restrict

_MAX_ORDERS = 10
_MAX_OFFSET = 10_000_000
_KEY = "page_key_"


@dataclass(frozen=True, slots=True)
class Key:
    """A column of an order; rows without a value in it come last."""

    field: Field
    ascending: bool = True


async def page(
    tx: OrgTx, query: Select[Any], fields: Fields, listing: Listing, usual: Sequence[Key]
) -> tuple[Sequence[Any], str]:
    """
    Run ``query`` as ``listing`` asks; return the rows, and the token of the next page or "".

    ``usual`` is the default order, and breaks ties of other orders: its columns together must
    be unique.
    """
    if listing.limit < 1:
        raise InvalidError(f"page size {listing.limit} is out of range; ask for 1 to {MAX_LIMIT}")
    if len(listing.orders) > _MAX_ORDERS:
        raise InvalidError(f"{len(listing.orders)} sort fields; at most {_MAX_ORDERS} are allowed")
    limit = min(listing.limit, MAX_LIMIT)
    asked = [Key(fields(order.field), order.ascending) for order in listing.orders]
    keys = [*asked, *usual]
    order = [f"{'+' if each.ascending else '-'}{each.field}" for each in listing.orders]
    query = restrict(query, fields, listing.filters).order_by(*map(_sorted, keys))
    if any(key.field.is_moving for key in keys):
        offset = _parse_offset(_parse_token(listing.token, order))
        rows = (await tx.connection.execute(query.offset(offset).limit(limit + 1))).all()
        next_steps: object = offset + limit
    else:
        if listing.token:
            query = query.where(_after(keys, _parse_token(listing.token, order)))
        query = query.add_columns(
            *(key.field.column.label(f"{_KEY}{number}") for number, key in enumerate(keys))
        )
        rows = (await tx.connection.execute(query.limit(limit + 1))).all()
        next_steps = _values(rows[limit - 1], len(keys)) if len(rows) > limit else None
    return rows[:limit], _token(order, next_steps) if len(rows) > limit else ""


def _sorted(key: Key) -> ColumnElement[Any]:
    column = key.field.column
    in_order = column.asc() if key.ascending else column.desc()
    # NULLS LAST only on nullable columns: with it, an index on another column would not match.
    return in_order.nulls_last() if key.field.is_nullable else in_order


def _after(keys: Sequence[Key], values: object) -> ColumnElement[bool]:
    """Return the condition for rows that come after the one with these values."""
    if not isinstance(values, list) or len(values) != len(keys):
        raise _foreign()
    ways: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    bounds: list[ColumnElement[bool]] = []
    for number, (key, text) in enumerate(zip(keys, values, strict=True)):
        column = key.field.column
        if text is None:
            same.append(column.is_(None))  # nothing comes after it in this column
            continue
        if not isinstance(text, str) or "\0" in text:
            raise _foreign()
        value = key.field.parse(text)
        later = column > value if key.ascending else column < value
        if key.field.is_nullable:
            later = or_(later, column.is_(None))
        elif number == 0:  # redundant, but lets an index scan start here
            bounds.append(column >= value if key.ascending else column <= value)
        ways.append(and_(*same, later))
        same.append(column == value)
    return and_(*bounds, or_(false(), *ways))


def _values(row: Any, count: int) -> Sequence[str | None]:
    return [_text(getattr(row, f"{_KEY}{number}")) for number in range(count)]


def _text(value: object) -> str | None:
    """Format a value so that its field's parser reads it."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


def _token(order: Sequence[str], next_steps: object) -> str:
    body = json.dumps([order, next_steps], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def _parse_token(token: str, order: Sequence[str]) -> object:
    """Return the content of a page token made in this order; None for the first page."""
    if not token:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _foreign() from error
    if not isinstance(decoded, list) or len(decoded) != 2:
        raise _foreign()
    made_in, next_steps = decoded
    if made_in != list(order):
        raise InvalidError("the page token is for another sort order; start at the first page")
    return next_steps


def _parse_offset(next_steps: object) -> int:
    if next_steps is None:
        return 0
    if not isinstance(next_steps, int) or not 0 <= next_steps <= _MAX_OFFSET:
        raise _foreign()
    return next_steps


def _foreign() -> InvalidError:
    return InvalidError(
        "the page token is invalid or from another release; start at the first page"
    )
