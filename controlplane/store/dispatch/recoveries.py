"""
Finds what a run that recovers another takes over: the succeeded actions of the same name.

Only runs with a source are looked up, in statements on sets: one for the actions of a batch, and
two for a page of traces. Rows of traces are written when their parent begins to watch, because
the SDK looks for them in the snapshot of that watch and enqueues none that it finds there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.core.actions import ActionType, RunSource
from controlplane.core.relations import Counterpart, SourceRun
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import above
from controlplane.store.notify.changes import lock_runs, notify
from controlplane.store.phase_guards import has_succeeded, is_live
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, ActionName, Digest, RunId, RunKey, RunName
from shared.model.phases import Phase

_SOURCE = statement("""
SELECT r.run_id, r.run, r.source, a.phase, a.spec, a.input_uri, a.output_uri, a.recovered_from
FROM runs r JOIN actions a ON a.org = r.org AND a.id = r.run_id
WHERE r.org = :org AND r.project = :project AND r.domain = :domain AND r.run = :run
  AND r.purging_since IS NULL
""")

_UNKNOWN = statement(f"""
{given(name="text")}
SELECT n.name FROM n
LEFT JOIN LATERAL (
    SELECT a.id FROM actions a
    WHERE a.org = n.org AND a.run_id = :source AND a.name = n.name LIMIT 1
) a ON true
WHERE a.id IS NULL
""")

_COUNTERPARTS = statement(f"""
{given(id="uuid", run_id="uuid", source="uuid", name="text", parent="text", type="smallint")}
SELECT n.id, c.output_uri, c.value, c.recovered_from
FROM n
CROSS JOIN LATERAL (
    SELECT c.output_uri, c.value, c.recovered_from, c.phase, c.parent, c.type FROM actions c
    WHERE c.org = n.org AND c.run_id = n.source AND c.name = n.name LIMIT 1
) c
LEFT JOIN LATERAL (
    SELECT a.id FROM actions a
    WHERE a.org = n.org AND a.run_id = n.run_id AND a.name = n.name LIMIT 1
) a ON true
WHERE {has_succeeded("c.phase")} AND c.parent = n.parent AND c.type = n.type AND a.id IS NULL
""")

# The parent of the recovering run is live: what has ended replays nothing.
_TRACES = statement(f"""
SELECT c.name, c.output_uri
FROM runs r
JOIN actions p ON p.org = r.org AND p.run_id = r.run_id AND p.name = :parent
JOIN actions s ON s.org = r.org AND s.run_id = r.recovers AND s.name = :parent
JOIN actions c ON c.org = s.org AND c.parent_id = s.id AND c.name > :after
LEFT JOIN LATERAL (
    SELECT a.id FROM actions a
    WHERE a.org = r.org AND a.run_id = r.run_id AND a.name = c.name LIMIT 1
) a ON true
WHERE r.org = :org AND r.run_id = :run_id AND {is_live("p.phase")}
  AND c.type = {ActionType.TRACE.value} AND {has_succeeded("c.phase")}
  AND NOT jsonb_exists(r.forced, c.name) AND a.id IS NULL
ORDER BY c.org, c.parent_id, c.name LIMIT :most
""")

_INSERT_TRACES = statement(f"""
{given(id="uuid", name="text", change="bigint")}
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, group_name,
                     short_name, phase, change, created_at, updated_at, started_at, ended_at,
                     output_uri, recovered_from)
SELECT n.org, n.id, r.run_id, n.name, p.name, p.id, c.type, c.spec, c.input_uri, c.group_name,
       c.short_name, {Phase.RECOVERED.value}, n.change, :now, :now, :now, :now, c.output_uri,
       CASE WHEN c.recovered_from = '' THEN r.related_to ELSE c.recovered_from END
FROM n
JOIN runs r ON r.org = n.org AND r.run_id = :run_id
JOIN actions p ON p.org = r.org AND p.run_id = r.run_id AND p.name = :parent
CROSS JOIN LATERAL (
    SELECT c.* FROM actions c
    WHERE c.org = n.org AND c.run_id = r.recovers AND c.name = n.name LIMIT 1
) c
WHERE {is_live("p.phase")} AND {above("r.org", "r.run_id", "p.id")} IS NULL
ON CONFLICT DO NOTHING
RETURNING id
""")


async def find_source(tx: OrgTx, run: RunKey) -> SourceRun | None:
    """Return the run that another is to rerun or recover, with its root's result."""
    row = (
        await tx.execute(_SOURCE, {"project": run.project, "domain": run.domain, "run": run.name})
    ).one_or_none()
    if row is None:
        return None
    return SourceRun(
        id=RunId(row.run_id),
        key=run,
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        spec=Digest(row.spec),
        input_uri=row.input_uri,
        is_tracked=row.source == RunSource.TRACKED.value,
        root=Counterpart(
            output_uri=row.output_uri,
            value=None,
            executed_in=RunName(row.recovered_from or row.run),
        ),
    )


async def find_unknown(
    tx: OrgTx, source: RunId, names: Sequence[ActionName]
) -> Sequence[ActionName]:
    """Return the names that no action of the run has."""
    if not names:
        return []
    rows = await tx.rows(_UNKNOWN, {"source": source, "name": list(names)})
    return [ActionName(row.name) for row in rows]


async def find_counterparts(
    tx: OrgTx,
    wanted: Sequence[tuple[ActionId, RunId, ActionName, ActionName, ActionType]],
    sources: Sequence[tuple[RunId, RunName]],
) -> Mapping[ActionId, Counterpart]:
    """
    Find the counterparts of new actions, each in the source of its run.

    ``wanted``: each action's new id, run, name, parent and type; one that exists has none.
    """
    if not wanted:
        return {}
    rows = await tx.rows(
        _COUNTERPARTS,
        {
            "id": [action for action, _, _, _, _ in wanted],
            "run_id": [run for _, run, _, _, _ in wanted],
            "source": [source for source, _ in sources],
            "name": [name for _, _, name, _, _ in wanted],
            "parent": [parent for _, _, _, parent, _ in wanted],
            "type": [kind.value for _, _, _, _, kind in wanted],
        },
    )
    names = {action: name for (action, *_), (_, name) in zip(wanted, sources, strict=True)}
    return {
        ActionId(row.id): Counterpart(
            output_uri=row.output_uri,
            value=row.value,
            executed_in=RunName(row.recovered_from or names[row.id]),
        )
        for row in rows
    }


async def list_traces(
    tx: OrgTx, run: RunId, parent: ActionName, *, after: str, most: int
) -> Sequence[tuple[ActionName, str]]:
    """
    List the succeeded traces that a live action may take over, with the URI of their outputs.

    By name, from after ``after`` on; without those that exist in ``run`` already.
    """
    rows = await tx.rows(_TRACES, {"run_id": run, "parent": parent, "after": after, "most": most})
    return [(ActionName(row.name), row.output_uri) for row in rows]


async def recover_traces(
    tx: OrgTx, run: RunId, parent: ActionName, names: Sequence[ActionName], now: datetime
) -> None:
    """Write these traces of the recovered run as RECOVERED ones; those that exist stay."""
    counters = await lock_runs(tx, [run])
    rows = await tx.rows(
        _INSERT_TRACES,
        {
            "run_id": run,
            "parent": parent,
            "id": [new_uuid(now) for _ in names],
            "name": list(names),
            "change": [counters.next(run) for _ in names],
            "now": now,
        },
    )
    if rows:
        await notify(tx, counters)
