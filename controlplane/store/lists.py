"""Lists of runs and of actions."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, func, select, text

from controlplane.core.actions import Page
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Listing, RunScope
from controlplane.store.database import OrgTx
from controlplane.store.filters import Field, instants, numbers, texts, uuids
from controlplane.store.pages import Key, page
from controlplane.store.rows import parse_action
from controlplane.store.tables import actions, runs
from shared.model.ids import RunId
from shared.model.phases import Phase

_DURATION = (
    func.extract("epoch", func.coalesce(actions.c.ended_at, func.now()) - actions.c.created_at)
    * 1000
)


def _phase(value: str) -> int:
    """Take a phase by its number or its name."""
    name = value.upper().removeprefix("ACTION_PHASE_")
    return Phase[name].value if name in Phase.__members__ else int(value)


_FIELDS: Mapping[str, Field] = {
    "project": texts(runs.c.project),
    "domain": texts(runs.c.domain),
    "run_name": texts(runs.c.run),
    "run_source": numbers(runs.c.source),
    "created_by": texts(runs.c.created_by),
    "created_by_subject": texts(runs.c.created_by),
    "name": texts(actions.c.name),
    "parent_name": texts(actions.c.parent),
    "phase": numbers(actions.c.phase, _phase),
    "action_type": numbers(actions.c.type),
    "group": texts(actions.c.group_name),
    "task_name": texts(actions.c.task_name),
    "task_version": texts(actions.c.task_version),
    "task_type": texts(actions.c.task_type),
    "short_name": texts(actions.c.short_name),
    "environment_name": texts(actions.c.environment),
    "function_name": texts(actions.c.function),
    "created_at": instants(actions.c.created_at),
    "updated_at": instants(actions.c.updated_at),
    "started_at": instants(actions.c.started_at),
    "ended_at": instants(actions.c.ended_at),
    "duration_ms": numbers(_DURATION, is_moving=True),
}
_LABEL = "labels."


def _field(name: str) -> Field:
    if name.startswith(_LABEL) and name != _LABEL:
        return texts(runs.c.labels[name.removeprefix(_LABEL)].astext)
    if name not in _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise InvalidError(f"there is no field {name!r}; there are {known} and labels.<key>")
    return _FIELDS[name]


async def list_runs(tx: OrgTx, scope: RunScope, listing: Listing) -> Page:
    """List root actions, newest first unless asked otherwise."""
    # A run's id is its root's: one look-up, however many actions the run has.
    query = _select().where(actions.c.id == runs.c.run_id, runs.c.org == tx.org)
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
    newest = (Key(instants(runs.c.created_at), ascending=False), Key(uuids(runs.c.run_id)))
    rows, token = await page(tx, query, _field, listing, newest)
    return Page([parse_action(row) for row in rows], token)


async def list_actions(tx: OrgTx, run: RunId, listing: Listing) -> Page:
    """List a run's actions, oldest first unless asked otherwise."""
    query = _select().where(actions.c.org == tx.org, actions.c.run_id == run)
    oldest = (Key(instants(actions.c.created_at)), Key(texts(actions.c.name)))
    rows, token = await page(tx, query, _field, listing, oldest)
    return Page([parse_action(row) for row in rows], token)


def _select() -> Select[Any]:
    joined = actions.join(
        runs, and_(runs.c.org == actions.c.org, runs.c.run_id == actions.c.run_id)
    )
    shared = ("project", "domain", "run", "created_by", "source", "labels", "run_base")
    return select(actions, *(runs.c[name] for name in shared)).select_from(joined)
