"""
Adds ended attempts to the usage of their days, and reads it.

``store.dispatch.outcomes`` writes an entry with the end of each attempt. ``fold_page`` deletes
entries and adds them in one statement, so that each counts once, however often passes are
repeated and whichever replicas run them.
"""

import json
from collections.abc import Sequence
from datetime import date

from sqlalchemy import Row

from controlplane.core.errors import InvalidError
from controlplane.core.usage import Dimension, UsageAmounts, UsageRow
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import statement

FOLD_PAGE = 5_000
"""Entries that one transaction adds."""

_SUMS = ("attempts", "run_ms", "cpu_ms", "memory_mib_ms", "accelerator_ms")
_KEY = "day, project, domain, task, cluster, queue"

# An attempt that ran over midnight has a part of its time in each day, and counts as an attempt in the last.
# The upserts are in the order of the key, so that passes of two replicas do not deadlock.
_FOLD = statement(f"""
WITH page AS MATERIALIZED (
    SELECT org, action_id, attempt FROM usage_entries
    ORDER BY org, action_id, attempt LIMIT :most FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM usage_entries e USING page p
    WHERE e.org = p.org AND e.action_id = p.action_id AND e.attempt = p.attempt
    RETURNING e.*
), parts AS (
    SELECT t.*, CAST(d.begins AS date) AS day,
           CAST(t.ended_at AT TIME ZONE 'UTC' AS date) = CAST(d.begins AS date) AS is_last,
           CAST(extract(epoch FROM (
               LEAST(t.ended_at AT TIME ZONE 'UTC', d.begins + interval '1 day')
               - GREATEST(t.began_at AT TIME ZONE 'UTC', d.begins)
           )) * 1000 AS bigint) AS ms
    FROM taken t CROSS JOIN LATERAL generate_series(
        date_trunc('day', t.began_at AT TIME ZONE 'UTC'), t.ended_at AT TIME ZONE 'UTC',
        interval '1 day'
    ) AS d (begins)
), added AS (
    INSERT INTO usage_days (org, {_KEY}, {", ".join(_SUMS)})
    SELECT org, {_KEY}, count(*) FILTER (WHERE is_last), sum(ms), sum(ms * cpu_millis / 1000),
           sum(ms * (memory_bytes / 1048576)), sum(ms * accelerators)
    FROM parts GROUP BY org, {_KEY} ORDER BY org, {_KEY}
    ON CONFLICT (org, {_KEY}) DO UPDATE
    SET {", ".join(f"{name} = usage_days.{name} + EXCLUDED.{name}" for name in _SUMS)}
)
SELECT count(*) AS folded FROM taken
""")

_FORGET = statement("DELETE FROM usage_days WHERE day < CAST(:oldest AS date)")

_DAYS = """
u.org = :org AND u.day >= CAST(:since AS date) AND u.day <= CAST(:until AS date)
AND (:project = '' OR u.project = :project)
"""

_TOTALS = ", ".join(f"CAST(COALESCE(sum(u.{name}), 0) AS bigint) AS {name}" for name in _SUMS)

_TOTAL = statement(f"SELECT {_TOTALS} FROM usage_days u WHERE {_DAYS}")

_GROUPED = ", ".join(
    f"CASE WHEN CAST(:by_{each} AS boolean) THEN u.{each} END AS {each}" for each in Dimension
)
_SUMMARY = statement(f"""
SELECT {_GROUPED}, {_TOTALS} FROM usage_days u WHERE {_DAYS}
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY sum(u.run_ms) DESC, 1, 2, 3, 4, 5, 6 LIMIT :most
""")

_PAGE = statement(f"""
SELECT {_KEY}, {", ".join(_SUMS)} FROM usage_days u
WHERE {_DAYS} AND ({_KEY}) > (CAST(:day AS date), :in_project, :domain, :task, :cluster, :queue)
ORDER BY org, {_KEY} LIMIT :most
""")


async def fold_page(tx: FleetTx) -> int:
    """Add a page of ended attempts to the usage of their days; return how many."""
    found = await tx.connection.execute(_FOLD, {"most": FOLD_PAGE})
    return int(found.one().folded)


async def forget_usage(tx: FleetTx, oldest: date) -> None:
    """Delete the usage of days before ``oldest``."""
    await tx.connection.execute(_FORGET, {"oldest": oldest})


async def sum_usage(tx: OrgTx, since: date, until: date, project: str) -> UsageAmounts:
    """Sum the usage of the days; project "" is all."""
    values = {"since": since, "until": until, "project": project}
    return _amounts((await tx.rows(_TOTAL, values))[0])


async def summarise_usage(
    tx: OrgTx, since: date, until: date, project: str, by: frozenset[Dimension], *, most: int
) -> Sequence[UsageRow]:
    """Sum the usage of the days by dimensions; the rows with the most action-seconds first."""
    values = {"since": since, "until": until, "project": project, "most": most}
    grouped = {f"by_{each}": each in by for each in Dimension}
    return [_row(row) for row in await tx.rows(_SUMMARY, values | grouped)]


async def list_usage(
    tx: OrgTx, since: date, until: date, project: str, *, after: str, most: int
) -> Sequence[UsageRow]:
    """List the usage of the days in the order of its key, after the row of ``after``."""
    day, *others = _parse_token(after) if after else (date.min, "", "", "", "", "")
    names = ("in_project", "domain", "task", "cluster", "queue")
    values = {"since": since, "until": until, "project": project, "most": most, "day": day}
    return [
        _row(row) for row in await tx.rows(_PAGE, values | dict(zip(names, others, strict=True)))
    ]


def token_of(row: UsageRow) -> str:
    """Return the text after which the next page begins."""
    key = [str(row.day), row.project, row.domain, row.task, row.cluster, row.queue]
    return json.dumps(key, separators=(",", ":"))


def _parse_token(token: str) -> tuple[date, str, str, str, str, str]:
    try:
        day, project, domain, task, cluster, queue = json.loads(token)
        parsed = date.fromisoformat(day)
    except (ValueError, TypeError) as error:
        raise InvalidError("page_token: send it as it was given") from error
    others = (project, domain, task, cluster, queue)
    if not all(isinstance(each, str) and "\0" not in each for each in others):
        raise InvalidError("page_token: send it as it was given")
    return parsed, project, domain, task, cluster, queue


def _row(row: Row[tuple[object, ...]]) -> UsageRow:
    return UsageRow(
        day=row.day,
        project=row.project or "",
        domain=row.domain or "",
        task=row.task or "",
        cluster=row.cluster or "",
        queue=row.queue or "",
        amounts=_amounts(row),
    )


def _amounts(row: Row[tuple[object, ...]]) -> UsageAmounts:
    return UsageAmounts(
        attempts=row.attempts,
        run_ms=row.run_ms,
        cpu_ms=row.cpu_ms,
        memory_mib_ms=row.memory_mib_ms,
        accelerator_ms=row.accelerator_ms,
    )
