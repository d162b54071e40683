"""
Queues versions of artifacts for the triggers that match them, until their runs are created.

A row is written with its version, so none is lost, and deleted with the creation of its run, whose
name follows from it, so none starts two. A claim is a time: a row whose replica stopped, or whose run
a full queue refused, is due again later, each time after twice as long.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from controlplane.core.artifact_triggers import MOST_HOPS, QueuedFiring
from controlplane.core.artifacts import ArtifactKey, ArtifactName, NewArtifact
from controlplane.core.relations import RelationType
from controlplane.core.triggers import MOST_TRIGGERS, TriggerKey
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.resources.trigger_keys import KEYS, SAME_KEY, key_arrays
from controlplane.store.statements import given, not_deleted, only_one, statement
from shared.model.ids import DomainName, OrgName, ProjectName, RunKey

_ENQUEUE = statement(f"""
{given(project="text", domain="text", artifact="text", version="text", partitions="jsonb")}
INSERT INTO artifact_firings (org, project, domain, task_name, name, artifact, version, created_at,
                              due_at)
SELECT t.org, t.project, t.domain, t.task_name, t.name, n.artifact, n.version, :now, :now
FROM n CROSS JOIN LATERAL (
    SELECT t.* FROM triggers t
    WHERE t.org = n.org AND t.project = n.project AND t.domain = n.domain
      AND t.artifact = n.artifact AND t.artifact <> ''
    ORDER BY t.org, t.project, t.domain, t.artifact LIMIT {MOST_TRIGGERS}
) t
WHERE t.active AND t.deleted_at IS NULL
  AND t.artifact_version IN ('', n.version) AND n.partitions @> t.artifact_partitions
ON CONFLICT DO NOTHING
""")

_CLAIM = statement(f"""
WITH due AS MATERIALIZED (
    SELECT f.org, f.project, f.domain, f.task_name, f.name, f.artifact, f.version
    FROM artifact_firings f WHERE f.due_at <= :now AND {not_deleted("f.org")}
    ORDER BY f.due_at LIMIT :most FOR UPDATE SKIP LOCKED
)
UPDATE artifact_firings f
SET tries = f.tries + 1,
    due_at = :now + LEAST(power(2, LEAST(f.tries, 10)) * 10, 3600) * interval '1 second'
FROM due d
WHERE f.org = d.org AND f.project = d.project AND f.domain = d.domain AND f.task_name = d.task_name
  AND f.name = d.name AND f.artifact = d.artifact AND f.version = d.version
RETURNING f.org, f.project, f.domain, f.task_name, f.name, f.artifact, f.version, f.created_at,
          f.tries - 1 AS tries
""")

_FINISH = statement(f"""
{given(**KEYS, artifact="text", version="text")}
DELETE FROM artifact_firings t USING n
WHERE {SAME_KEY} AND t.artifact = n.artifact AND t.version = n.version
RETURNING t.project, t.domain, t.task_name, t.name, t.artifact, t.version
""")

# From a run to the one that it is related to, and so on; no run is far from one that nothing started.
_HOPS = statement(f"""
WITH RECURSIVE up AS (
    SELECT r.relation, r.related_to, 1 AS depth FROM runs r
    WHERE r.org = :org AND r.project = :project AND r.domain = :domain AND r.run = :run
  UNION ALL
    SELECT r.relation, r.related_to, up.depth + 1 FROM up
    CROSS JOIN LATERAL (
        SELECT r.relation, r.related_to FROM runs r
        WHERE r.org = :org AND r.project = :project AND r.domain = :domain
          AND {only_one("r.run", "up.related_to")}
    ) r
    WHERE up.related_to IS NOT NULL AND up.depth < :most
)
SELECT count(*) FILTER (WHERE relation = {RelationType.ON_ARTIFACT.value}) AS hops FROM up
""")


async def enqueue_firings(tx: OrgTx, new: Sequence[NewArtifact], now: datetime) -> None:
    """Queue these versions, which are new, for the active triggers that match them."""
    if not new:
        return
    await tx.execute(
        _ENQUEUE,
        {
            "project": [each.key.name.project for each in new],
            "domain": [each.key.name.domain for each in new],
            "artifact": [each.key.name.name for each in new],
            "version": [each.key.version for each in new],
            "partitions": [json.dumps(dict(each.partition.values)) for each in new],
            "now": now,
        },
    )


async def claim_firings(tx: FleetTx, now: datetime, *, most: int) -> Sequence[QueuedFiring]:
    """Return up to ``most`` that are due, which are not due again for ten seconds or more."""
    rows = await tx.connection.execute(_CLAIM, {"now": now, "most": most})
    return [
        QueuedFiring(
            org=OrgName(row.org),
            trigger=_parse_key(row)[0],
            artifact=_parse_key(row)[1],
            tries=row.tries,
            created_at=row.created_at,
        )
        for row in rows
    ]


async def finish_firings(
    tx: OrgTx, queued: Collection[QueuedFiring]
) -> Collection[tuple[TriggerKey, ArtifactKey]]:
    """Take firings off the queue; return those that no other transaction has taken off."""
    if not queued:
        return set()
    rows = await tx.rows(
        _FINISH,
        {
            **key_arrays([each.trigger for each in queued]),
            "artifact": [each.artifact.name.name for each in queued],
            "version": [each.artifact.version for each in queued],
        },
    )
    return {_parse_key(row) for row in rows}


async def count_hops(tx: OrgTx, run: RunKey) -> int:
    """Count the runs of triggers of artifacts among a run and those that it is related to, in a row."""
    rows = await tx.rows(
        _HOPS,
        {
            "project": run.project,
            "domain": run.domain,
            "run": run.name,
            "most": 10 * MOST_HOPS,
        },
    )
    return int(rows[0].hops)


def _parse_key(row: Any) -> tuple[TriggerKey, ArtifactKey]:
    project, domain = ProjectName(row.project), DomainName(row.domain)
    return (
        TriggerKey(project, domain, row.task_name, row.name),
        ArtifactKey(ArtifactName(project, domain, row.artifact), row.version),
    )
