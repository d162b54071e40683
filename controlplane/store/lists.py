"""
Lists of runs and of actions: filters and orders become SQL here, from a fixed set of names.

Whatever a caller writes is a bound value; only names found in ``_FIELDS`` reach the text.
Pages are offsets in an opaque token: lists are short-lived, and any order must do.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, not_, select, text

from controlplane.core.actions import Page
from controlplane.core.errors import InvalidError
from controlplane.core.lists import MAX_LIMIT, Filter, Listing, Order, RunScope, Test
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_action
from controlplane.store.tables import actions, runs
from shared.model.ids import RunId
from shared.model.phases import Phase

_DURATION = (
    func.extract("epoch", func.coalesce(actions.c.ended_at, func.now()) - actions.c.created_at)
    * 1000
)


def _instant(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidError(f"{value!r} is not a time; write it as 2026-01-31T12:00:00Z") from error
    if at.tzinfo is None:
        raise InvalidError(f"{value!r} has no time zone; add Z for UTC")
    return at


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise InvalidError(f"{value!r} is not a whole number") from error


def _phase(value: str) -> int:
    """Take a phase by its number or its name."""
    name = value.upper().removeprefix("ACTION_PHASE_")
    if name in Phase.__members__:
        return Phase[name].value
    return _whole(value)


@dataclass(frozen=True, slots=True)
class _Field:
    column: ColumnElement[object]
    parse: Callable[[str], object]


def _str(value: str) -> object:
    return value


def _typed(column: object, parse: Callable[[str], object]) -> _Field:
    return _Field(column, parse)  # type: ignore[arg-type]  # columns of any type


_FIELDS: Mapping[str, _Field] = {
    "project": _typed(runs.c.project, _str),
    "domain": _typed(runs.c.domain, _str),
    "run_name": _typed(runs.c.run, _str),
    "run_source": _typed(runs.c.source, _whole),
    "created_by": _typed(runs.c.created_by, _str),
    "created_by_subject": _typed(runs.c.created_by, _str),
    "name": _typed(actions.c.name, _str),
    "parent_name": _typed(actions.c.parent, _str),
    "phase": _typed(actions.c.phase, _phase),
    "action_type": _typed(actions.c.type, _whole),
    "group": _typed(actions.c.group_name, _str),
    "task_name": _typed(actions.c.task_name, _str),
    "task_version": _typed(actions.c.task_version, _str),
    "task_type": _typed(actions.c.task_type, _str),
    "short_name": _typed(actions.c.short_name, _str),
    "environment_name": _typed(actions.c.environment, _str),
    "function_name": _typed(actions.c.function, _str),
    "created_at": _typed(actions.c.created_at, _instant),
    "updated_at": _typed(actions.c.updated_at, _instant),
    "started_at": _typed(actions.c.started_at, _instant),
    "ended_at": _typed(actions.c.ended_at, _instant),
    "duration_ms": _typed(_DURATION, _whole),
}
_LABEL = "labels."
_MAX_FILTERS = 50
_MAX_VALUES = 200


async def list_runs(tx: OrgTx, scope: RunScope, listing: Listing) -> Page:
    """List root actions, newest first unless asked otherwise."""
    query = _select().where(actions.c.parent.is_(None), runs.c.org == tx.org)
    for column, wanted in (
        (runs.c.project, scope.project),
        (runs.c.domain, scope.domain),
        (actions.c.task_name, scope.task_name),
        (actions.c.task_version, scope.task_version),
    ):
        if wanted:
            query = query.where(column == wanted)
    if scope.trigger_name:
        query = query.where(text("false"))  # no trigger has made a run yet
    if scope.paused_only:
        paused = actions.alias("paused")
        query = query.where(
            select(paused.c.id)
            .where(
                paused.c.org == tx.org,
                paused.c.run_id == runs.c.run_id,
                paused.c.phase == Phase.PAUSED.value,
            )
            .exists()
        )
    newest = (runs.c.created_at.desc(), runs.c.run_id)
    return await _page(tx, query, listing, newest)


async def list_actions(tx: OrgTx, run: RunId, listing: Listing) -> Page:
    """List a run's actions, oldest first unless asked otherwise."""
    query = _select().where(actions.c.org == tx.org, actions.c.run_id == run)
    oldest = (actions.c.created_at.asc(), actions.c.name)
    return await _page(tx, query, listing, oldest)


def _select() -> Select[tuple[object, ...]]:
    joined = actions.join(
        runs, and_(runs.c.org == actions.c.org, runs.c.run_id == actions.c.run_id)
    )
    shared = ("project", "domain", "run", "created_by", "source", "labels", "run_base")
    return select(actions, *(runs.c[name] for name in shared)).select_from(joined)


async def _page(
    tx: OrgTx,
    query: Select[tuple[object, ...]],
    listing: Listing,
    usual: Sequence[ColumnElement[object]],
) -> Page:
    limit = min(listing.limit, MAX_LIMIT)
    offset = _offset(listing.token)
    if len(listing.filters) > _MAX_FILTERS:
        raise InvalidError(f"{len(listing.filters)} filters; at most {_MAX_FILTERS} are taken")
    for wish in listing.filters:
        query = query.where(_condition(wish))
    query = query.order_by(*(_order(order) for order in listing.orders), *usual)
    rows = (await tx.connection.execute(query.offset(offset).limit(limit + 1))).all()
    token = _token(offset + limit) if len(rows) > limit else ""
    return Page([parse_action(row) for row in rows[:limit]], token)


def _field(name: str) -> _Field:
    if name.startswith(_LABEL) and len(name) > len(_LABEL):
        return _typed(runs.c.labels[name.removeprefix(_LABEL)].astext, _str)
    if name not in _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise InvalidError(f"there is no field {name!r}; there are {known} and labels.<key>")
    return _FIELDS[name]


def _order(order: Order) -> ColumnElement[object]:
    column = _field(order.field).column
    return column.asc().nulls_last() if order.ascending else column.desc().nulls_last()


def _condition(wish: Filter) -> ColumnElement[bool]:
    field = _field(wish.field)
    if len(wish.values) > _MAX_VALUES:
        raise InvalidError(f"{len(wish.values)} values for {wish.field}; at most {_MAX_VALUES}")
    if wish.test in {Test.EXISTS, Test.NOT_EXISTS}:
        there = field.column.is_not(None)
        return there if wish.test is Test.EXISTS else not_(there)
    if not wish.values:
        raise InvalidError(f"the filter on {wish.field} has no value")
    if wish.test in {Test.IN, Test.NOT_IN}:
        among = field.column.in_([field.parse(value) for value in wish.values])
        return among if wish.test is Test.IN else not_(among)
    if len(wish.values) != 1:
        raise InvalidError(f"the filter on {wish.field} takes one value, not {len(wish.values)}")
    return _compare(wish.test, field, wish.values[0])


def _compare(test: Test, field: _Field, raw: str) -> ColumnElement[bool]:
    column = field.column
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
            return column != field.parse(raw)
        case Test.GREATER:
            return column > field.parse(raw)
        case Test.GREATER_OR_EQUAL:
            return column >= field.parse(raw)
        case Test.LESS:
            return column < field.parse(raw)
        case Test.LESS_OR_EQUAL:
            return column <= field.parse(raw)
        case _:
            return column == field.parse(raw)


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"v1:{offset}".encode()).decode().rstrip("=")


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        version, _, offset = (
            base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().partition(":")
        )
        if version == "v1" and int(offset) >= 0:
            return int(offset)
    except (binascii.Error, ValueError) as error:
        raise InvalidError(
            "the page token is not one of ours; start from the first page"
        ) from error
    raise InvalidError("the page token is of another release; start from the first page")
