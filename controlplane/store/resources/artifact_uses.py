"""
Records which runs take which versions of artifacts as inputs, and finds both from either side.

A version is known when inputs are stored: their literals name it. The row of ``input_artifacts`` is
keyed by the URI of the inputs, and the statement that inserts a run's root copies it to
``artifact_uses`` (``run_rows``): inputs are stored before their run, and by another call.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from controlplane.core.artifact_lineage import Consumer
from controlplane.core.artifacts import ArtifactKey, ArtifactName
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import ActionName, DomainName, ProjectName, RunId, RunKey, RunName

_OF_INPUTS = {
    "input_uri": "text",
    "project": "text",
    "domain": "text",
    "name": "text",
    "version": "text",
}

# Only versions that exist: a literal may name any.
_SAVE = statement(f"""
{given(**_OF_INPUTS)}
INSERT INTO input_artifacts (org, input_uri, project, domain, name, version, created_at)
SELECT n.org, n.input_uri, n.project, n.domain, n.name, n.version, :now
FROM n CROSS JOIN LATERAL (
    SELECT 1 FROM artifacts a
    WHERE a.org = n.org AND a.project = n.project AND a.domain = n.domain AND a.name = n.name
      AND a.version = n.version
    LIMIT 1
) a
ON CONFLICT (org, input_uri, project, domain, name, version) DO UPDATE
SET created_at = EXCLUDED.created_at
""")

_CONSUMERS = statement("""
SELECT u.run_id, r.project, r.domain, r.run, r.root_task, r.created_at
FROM artifact_uses u JOIN runs r ON r.org = u.org AND r.run_id = u.run_id
WHERE u.org = :org AND u.project = :project AND u.domain = :domain AND u.name = :name
  AND u.version = :version AND u.run_id < :before
ORDER BY u.org, u.project, u.domain, u.name, u.version, u.run_id DESC LIMIT :most
""")

_CONSUMED = statement("""
SELECT project, domain, name, version FROM artifact_uses
WHERE org = :org AND run_id = :run_id ORDER BY project, domain, name, version
""")

_PRODUCED = statement("""
SELECT project, domain, name, version, source_action FROM artifacts
WHERE org = :org AND project = :project AND domain = :domain AND source_run = :run
  AND source_run <> ''
LIMIT :most
""")

_DELETE_USES = statement("DELETE FROM artifact_uses WHERE org = :org AND run_id = :run_id")

_DELETE_OLD = statement("""
WITH old AS MATERIALIZED (
    SELECT org, input_uri, project, domain, name, version FROM input_artifacts
    WHERE created_at < :before_at ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED
)
DELETE FROM input_artifacts i USING old o
WHERE i.org = o.org AND i.input_uri = o.input_uri AND i.project = o.project AND i.domain = o.domain
  AND i.name = o.name AND i.version = o.version
""")


async def save_input_artifacts(
    tx: OrgTx, inputs: Mapping[str, Collection[ArtifactKey]], now: datetime
) -> None:
    """Record the versions among inputs, by the inputs' URI, for the runs that will get them."""
    named = sorted({(uri, key) for uri, artifacts in inputs.items() for key in artifacts})
    if not named:
        return
    keys = [key for _, key in named]
    await tx.execute(
        _SAVE,
        {
            "input_uri": [uri for uri, _ in named],
            "project": [key.name.project for key in keys],
            "domain": [key.name.domain for key in keys],
            "name": [key.name.name for key in keys],
            "version": [key.version for key in keys],
            "now": now,
        },
    )


async def list_consumers(
    tx: OrgTx, key: ArtifactKey, *, before: UUID, most: int
) -> Sequence[Consumer]:
    """List the runs that took a version, from the newest on; ``before``: the id of the last one."""
    name = key.name
    rows = await tx.rows(
        _CONSUMERS,
        {
            "project": name.project,
            "domain": name.domain,
            "name": name.name,
            "version": key.version,
            "before": before,
            "most": most,
        },
    )
    return [
        Consumer(
            id=RunId(row.run_id),
            run=RunKey(ProjectName(row.project), DomainName(row.domain), RunName(row.run)),
            task=row.root_task,
            at=row.created_at,
        )
        for row in rows
    ]


async def list_consumed(tx: OrgTx, run: RunId) -> Sequence[ArtifactKey]:
    """List the versions that a run took, also those that were deleted since."""
    rows = await tx.rows(_CONSUMED, {"run_id": run})
    return [_key(row.project, row.domain, row.name, row.version) for row in rows]


async def list_produced(
    tx: OrgTx, run: RunKey, *, most: int
) -> Sequence[tuple[ArtifactKey, ActionName]]:
    """List versions that actions of a run published, with their actions."""
    values = {"project": run.project, "domain": run.domain, "run": run.name, "most": most}
    rows = await tx.rows(_PRODUCED, values)
    return [
        (_key(row.project, row.domain, row.name, row.version), ActionName(row.source_action))
        for row in rows
    ]


async def delete_uses(tx: OrgTx, run: RunId) -> None:
    """Delete what a run that is purged took."""
    await tx.execute(_DELETE_USES, {"run_id": run})


async def delete_old_inputs(tx: FleetTx, before: datetime, *, most: int) -> int:
    """Delete a page of what is known of inputs that were stored before this; return how many."""
    values = {"before_at": before, "most": most}
    return (await tx.connection.execute(_DELETE_OLD, values)).rowcount


def _key(project: str, domain: str, name: str, version: str) -> ArtifactKey:
    return ArtifactKey(ArtifactName(ProjectName(project), DomainName(domain), name), version)
