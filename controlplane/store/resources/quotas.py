"""Saves, finds and lists quotas, with their use."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.quotas import Quota, QuotaStatus
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

_LIMITS = "q.project, q.actions_per_day, q.triggers, q.requests_per_second, q.version"

_LOCK = statement("SELECT 1 FROM orgs WHERE org = :org FOR NO KEY UPDATE")

_FIND = statement(f"""
SELECT {_LIMITS} FROM quotas q
WHERE q.org = :org AND q.project = ANY(CAST(:projects AS text[]))
""")

_STATUSES = f"""
SELECT {_LIMITS}, u.actions_today, u.trigger_count
FROM ({{source}}) q
CROSS JOIN LATERAL (
    SELECT (
        SELECT CAST(COALESCE(sum(c.actions), 0) AS bigint) FROM action_counts c
        WHERE c.org = :org AND c.project = q.project
          AND c.day = CAST(CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS date)
    ) AS actions_today, (
        SELECT count(*) FROM triggers t
        WHERE t.org = :org AND (q.project = '' OR t.project = q.project) AND t.deleted_at IS NULL
    ) AS trigger_count
) u
ORDER BY q.project
"""
_STATUS = statement(
    _STATUSES.format(
        source="""
    SELECT CAST(:project AS text) AS project, COALESCE(max(s.actions_per_day), 0) AS actions_per_day,
           COALESCE(max(s.triggers), 0) AS triggers,
           COALESCE(max(s.requests_per_second), 0) AS requests_per_second,
           COALESCE(max(s.version), 0) AS version
    FROM quotas s WHERE s.org = :org AND s.project = :project
"""
    )
)
_PAGE = statement(
    _STATUSES.format(
        source="""
    SELECT * FROM quotas s WHERE s.org = :org AND s.project > :past
    ORDER BY s.org, s.project LIMIT :most
"""
    )
)

_TRIGGER_LIMITS = statement(f"""
SELECT {_LIMITS}, (
    SELECT count(*) FROM triggers t
    WHERE t.org = :org AND (q.project = '' OR t.project = q.project) AND t.deleted_at IS NULL
) AS trigger_count
FROM quotas q WHERE q.org = :org AND q.project IN ('', :project) AND q.triggers > 0
ORDER BY q.project
""")

_SAVE = statement("""
INSERT INTO quotas (org, project, actions_per_day, triggers, requests_per_second, updated_at)
VALUES (:org, :project, :actions_per_day, :triggers, :requests_per_second, :now)
ON CONFLICT (org, project) DO UPDATE
SET actions_per_day = EXCLUDED.actions_per_day, triggers = EXCLUDED.triggers,
    requests_per_second = EXCLUDED.requests_per_second, updated_at = EXCLUDED.updated_at,
    version = quotas.version + 1
""")

_PROJECT = statement("SELECT 1 FROM projects WHERE org = :org AND project = :project")

_RATES = statement("""
SELECT org, requests_per_second FROM quotas
WHERE project = '' AND requests_per_second > 0 AND org > :past ORDER BY org LIMIT :most
""")

_FORGET = statement("""
DELETE FROM action_counts
WHERE day < CAST(CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS date) - 1
""")


async def lock_quotas(tx: OrgTx) -> None:
    """Serialise changes of the org's quotas until commit."""
    await tx.execute(_LOCK)


async def find_quotas(tx: OrgTx, *projects: str) -> Mapping[str, Quota]:
    """Return the quotas of the projects ("": the org) that have one."""
    rows = await tx.rows(_FIND, {"projects": list(projects)})
    return {row.project: _parse(row) for row in rows}


async def find_status(tx: OrgTx, project: str, now: datetime) -> QuotaStatus:
    """Return a quota and its use; without limits if none was set."""
    return _parse_status((await tx.rows(_STATUS, {"project": project, "now": now}))[0])


async def list_statuses(tx: OrgTx, *, past: str, most: int, now: datetime) -> Sequence[QuotaStatus]:
    """List the quotas of projects after ``past``, by name."""
    rows = await tx.rows(_PAGE, {"past": past, "most": most, "now": now})
    return [_parse_status(row) for row in rows]


async def list_trigger_limits(tx: OrgTx, project: str) -> Sequence[QuotaStatus]:
    """List the quotas of the org and the project that limit triggers, with how many there are."""
    rows = await tx.rows(_TRIGGER_LIMITS, {"project": project})
    return [QuotaStatus(quota=_parse(row), triggers=row.trigger_count) for row in rows]


async def save_quota(tx: OrgTx, quota: Quota, now: datetime) -> None:
    await tx.execute(
        _SAVE,
        {
            "project": quota.project,
            "actions_per_day": quota.actions_per_day,
            "triggers": quota.triggers,
            "requests_per_second": quota.requests_per_second,
            "now": now,
        },
    )


async def has_project(tx: OrgTx, project: str) -> bool:
    return bool(await tx.rows(_PROJECT, {"project": project}))


async def list_request_rates(tx: FleetTx, *, past: str, most: int) -> Mapping[OrgName, int]:
    """List orgs after ``past`` that have a limit of requests per second."""
    found = await tx.connection.execute(_RATES, {"past": past, "most": most})
    return {OrgName(row.org): int(row.requests_per_second) for row in found}


async def forget_counts(tx: FleetTx, now: datetime) -> None:
    """Delete the counts of days before yesterday."""
    await tx.connection.execute(_FORGET, {"now": now})


def _parse(row: Row[tuple[object, ...]]) -> Quota:
    return Quota(
        project=row.project,
        actions_per_day=row.actions_per_day,
        triggers=row.triggers,
        requests_per_second=row.requests_per_second,
        version=row.version,
    )


def _parse_status(row: Row[tuple[object, ...]]) -> QuotaStatus:
    return QuotaStatus(
        quota=_parse(row), actions_today=row.actions_today, triggers=row.trigger_count
    )
