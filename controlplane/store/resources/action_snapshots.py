"""
Reads a run's actions in sets that differ in few columns, for watchers that need all of them.

A row as lists read it has 46 columns, which costs 30 us of CPU to parse; of a run of 50,000 actions
most rows have the same parent and task. Postgres groups them, at a fiftieth of that.
"""

from collections.abc import Sequence

from controlplane.core.actions import SimilarActions, SnapshotPart
from controlplane.core.caching import CacheStatus
from controlplane.store.database import OrgTx
from controlplane.store.rows import ACTION_COLUMNS, E, parse_action, parse_enum
from controlplane.store.statements import statement
from shared.model.ids import ActionName, RunId
from shared.model.phases import Phase

_SAME = """
    parent, type, group_name, task_name, task_version, task_type, short_name, environment, function,
    condition_type, recovered_from
"""
"""The columns of an action that never change, and that all watchers see, except its name."""


def _microseconds(column: str) -> str:
    return f"array_agg((extract(epoch FROM {column}) * 1000000)::bigint)"


_CHANGED = statement(f"""
WITH changed AS (
    SELECT * FROM actions a
    WHERE a.org = :org AND a.run_id = :run_id AND a.change > :after
    ORDER BY a.org, a.run_id, a.change LIMIT :most
), sets AS (
    SELECT (array_agg(id))[1] AS example, max(change) AS last, array_agg(name) AS names,
           array_agg(change) AS changes, array_agg(phase) AS phases,
           array_agg(attempts) AS all_attempts, array_agg(cache_status) AS cache_statuses,
           {_microseconds("created_at")} AS created, {_microseconds("started_at")} AS started,
           {_microseconds("ended_at")} AS ended
    FROM changed GROUP BY {_SAME}
)
SELECT {ACTION_COLUMNS}, s.last, s.names, s.changes, s.phases, s.all_attempts, s.cache_statuses,
       s.created, s.started, s.ended
FROM sets s
CROSS JOIN LATERAL (SELECT * FROM actions a WHERE a.org = :org AND a.id = s.example LIMIT 1) a
CROSS JOIN LATERAL (
    SELECT * FROM runs r WHERE r.org = :org AND r.run_id = :run_id LIMIT 1
) r
""")


def _parse_enums(values: Sequence[int], unknown: E) -> Sequence[E]:
    members = {value: parse_enum(value, unknown) for value in set(values)}
    return [members[value] for value in values]


async def read_changed(tx: OrgTx, run: RunId, *, after: int, most: int) -> SnapshotPart:
    """Read the first ``most`` actions of the run that changed after ``after``, by their change."""
    rows = await tx.rows(_CHANGED, {"run_id": run, "after": after, "most": most})
    return SnapshotPart(
        change=max((row.last for row in rows), default=after),
        similar=[
            SimilarActions(
                example=parse_action(row),
                names=[ActionName(name) for name in row.names],
                changes=row.changes,
                phases=_parse_enums(row.phases, Phase.UNKNOWN),
                attempts=row.all_attempts,
                cache_statuses=_parse_enums(row.cache_statuses, CacheStatus.DISABLED),
                created=row.created,
                started=row.started,
                ended=row.ended,
            )
            for row in rows
        ],
    )
