"""
Pages of a list: where the next begins is said by the last row's own values.

So rows that appear or go while somebody turns pages neither repeat nor hide others; only a
row whose own value in the order changes may be seen twice or be missed. An order by values
that all move with time (durations of what still runs) is paged by offset.

A token is opaque to callers and good for the order that it was made in. What it holds is
parsed as a filter's value is: a forged one is refused, or finds another page.
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
    """One column of an order; rows without a value in it come last."""

    field: Field
    ascending: bool = True


async def page(
    tx: OrgTx, query: Select[Any], fields: Fields, listing: Listing, usual: Sequence[Key]
) -> tuple[Sequence[Any], str]:
    """
    Run ``query`` as ``listing`` asks; return rows, and the token of the next page or "".

    ``usual`` is the order where the caller asks for none, and what breaks ties: together its
    columns must be unique.
    """
    if listing.limit < 1:
        raise InvalidError(f"a page of {listing.limit} rows is none; ask for 1 to {MAX_LIMIT}")
    if len(listing.orders) > _MAX_ORDERS:
        raise InvalidError(f"{len(listing.orders)} orders; at most {_MAX_ORDERS} are taken")
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
    # Said only where it matters: an index on a column without NULLs is as good without it.
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
        elif number == 0:  # implied by the rest, and what an index can begin at
            bounds.append(column >= value if key.ascending else column <= value)
        ways.append(and_(*same, later))
        same.append(column == value)
    return and_(*bounds, or_(false(), *ways))


def _values(row: Any, count: int) -> Sequence[str | None]:
    return [_text(getattr(row, f"{_KEY}{number}")) for number in range(count)]


def _text(value: object) -> str | None:
    """Write a value as its field's parser reads it."""
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
    """Return what the token of a page in this order holds; None for the first page."""
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
        raise InvalidError("the page token is of another order; start at the first page")
    return next_steps


def _parse_offset(next_steps: object) -> int:
    if next_steps is None:
        return 0
    if not isinstance(next_steps, int) or not 0 <= next_steps <= _MAX_OFFSET:
        raise _foreign()
    return next_steps


def _foreign() -> InvalidError:
    return InvalidError(
        "the page token is not one of ours, or of another release; start at the first page"
    )
