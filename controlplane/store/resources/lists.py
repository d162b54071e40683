"""Lists runs and actions, filtered, ordered and in pages."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Select, and_, func, literal_column, select

from controlplane.core.actions import Page, RunSource
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Listing
from controlplane.core.relations import RelationType
from controlplane.core.runs import RunScope
from controlplane.store.database import OrgTx
from controlplane.store.dispatch_tables import dispatches
from controlplane.store.resources.filters import (
    Field,
    booleans,
    numbers,
    text_field,
    timestamp_field,
    uuids,
)
from controlplane.store.resources.pages import Key, page
from controlplane.store.resources.scopes import within
from controlplane.store.rows import parse_action
from controlplane.store.tables import actions, runs
from shared.model.ids import RunId
from shared.model.phases import Phase

_DURATION = (
    func.extract("epoch", func.coalesce(actions.c.ended_at, func.now()) - actions.c.created_at)
    * 1000
)


def _phase(value: str) -> int:
    """Parse a phase from its number or its name."""
    name = value.upper().removeprefix("ACTION_PHASE_")
    return Phase[name].value if name in Phase.__members__ else int(value)


def _relation(value: str) -> int:
    """Parse a relation from its number or its name."""
    name = value.upper().removeprefix("RELATION_TYPE_")
    return RelationType[name].value if name in RelationType.__members__ else int(value)


_FIELDS: Mapping[str, Field] = {
    "project": text_field(runs.c.project),
    "domain": text_field(runs.c.domain),
    "run_name": text_field(runs.c.run),
    "run_source": numbers(runs.c.source),
    "relation_type": numbers(runs.c.relation, _relation),
    "related_to": text_field(runs.c.related_to),
    "trigger_name": text_field(runs.c.trigger_name),
    "trigger_task_name": text_field(runs.c.trigger_task),
    "trigger_revision": numbers(runs.c.trigger_revision),
    "archived": booleans(runs.c.archived_at.is_not(None)),
    "created_by": text_field(runs.c.created_by),
    "created_by_subject": text_field(runs.c.created_by),
    "name": text_field(actions.c.name),
    "parent_name": text_field(actions.c.parent),
    "phase": numbers(actions.c.phase, _phase),
    "action_type": numbers(actions.c.type),
    "group": text_field(actions.c.group_name),
    "task_name": text_field(actions.c.task_name),
    "task_version": text_field(actions.c.task_version),
    "task_type": text_field(actions.c.task_type),
    "short_name": text_field(actions.c.short_name),
    "environment_name": text_field(actions.c.environment),
    "function_name": text_field(actions.c.function),
    "created_at": timestamp_field(actions.c.created_at),
    "updated_at": timestamp_field(actions.c.updated_at),
    "started_at": timestamp_field(actions.c.started_at),
    "ended_at": timestamp_field(actions.c.ended_at),
    "duration_ms": numbers(_DURATION, is_moving=True),
}
_LABEL = "labels."
# As in the indexes of either kind of runs.
IS_TRACKED = runs.c.source == literal_column(str(RunSource.TRACKED.value))
IS_NOT_TRACKED = runs.c.source != literal_column(str(RunSource.TRACKED.value))


JOINED = actions.join(runs, and_(runs.c.org == actions.c.org, runs.c.run_id == actions.c.run_id))


def find_field(name: str) -> Field:
    """Find a field of runs and actions by its name; InvalidError naming the known ones."""
    if name.startswith(_LABEL) and name != _LABEL:
        return text_field(runs.c.labels[name.removeprefix(_LABEL)].astext)
    if name not in _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise InvalidError(f"unknown field {name!r}; known are {known} and labels.<key>")
    return _FIELDS[name]


async def list_runs(tx: OrgTx, scope: RunScope, listing: Listing) -> Page:
    """List root actions, newest first by default."""
    query = in_scope(tx, _select(), scope)
    newest = (Key(timestamp_field(runs.c.created_at), ascending=False), Key(uuids(runs.c.run_id)))
    rows, token = await page(tx, query, find_field, listing, newest)
    return Page([parse_action(row) for row in rows], token)


def in_scope(tx: OrgTx, query: Select[Any], scope: RunScope) -> Select[Any]:
    """Restrict a query of ``JOINED`` to the roots of the runs in a scope."""
    # A run's id is its root's: one index look-up, however many actions the run has.
    query = query.where(
        actions.c.id == runs.c.run_id,
        runs.c.org == tx.org,
        within(scope.within, runs.c.project, runs.c.domain),
        IS_TRACKED if scope.tracked else IS_NOT_TRACKED,
    )
    for column, required in (
        (runs.c.project, scope.project),
        (runs.c.domain, scope.domain),
        (actions.c.task_name, scope.task_name),
        (actions.c.task_version, scope.task_version),
    ):
        if required:
            query = query.where(column == required)
    if scope.trigger_name:
        query = query.where(
            runs.c.trigger_task == scope.task_name,
            runs.c.trigger_name == scope.trigger_name,
            runs.c.trigger_name != literal_column("''"),  # as in the index of such runs
        )
    if scope.cluster:
        query = query.where(runs.c.run_id.in_(_leased_by(tx, scope.cluster)))
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
    return query


async def find_leased(tx: OrgTx, cluster: str, runs_: Collection[RunId]) -> Collection[RunId]:
    """Return those of these runs of which the cluster has an attempt now."""
    if not runs_:
        return []
    found = await tx.rows(_leased_by(tx, cluster).where(dispatches.c.run_id.in_(runs_)).distinct())
    return {RunId(row.run_id) for row in found}


def _leased_by(tx: OrgTx, cluster: str) -> Select[Any]:
    return select(dispatches.c.run_id).where(
        dispatches.c.org == tx.org,
        dispatches.c.cluster == cluster,
        dispatches.c.lease_id.is_not(None),
    )


async def list_actions(tx: OrgTx, run: RunId, listing: Listing) -> Page:
    """List a run's actions, oldest first by default."""
    query = _select().where(actions.c.org == tx.org, actions.c.run_id == run)
    oldest = (Key(timestamp_field(actions.c.created_at)), Key(text_field(actions.c.name)))
    rows, token = await page(tx, query, find_field, listing, oldest)
    return Page([parse_action(row) for row in rows], token)


def _select() -> Select[Any]:
    shared = (
        *("project", "domain", "run", "created_by", "source", "labels", "run_base"),
        *("relation", "related_to"),
        *("trigger_task", "trigger_name", "trigger_revision", "trigger_automation"),
    )
    return select(actions, *(runs.c[name] for name in shared)).select_from(JOINED)
