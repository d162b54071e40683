"""
SQL that counts the actions of a day, in the statements that dispatch them, and finds a quota that is used up.

Each connection adds to a shard of its own, mostly, so transactions of one org do not wait for each
other. What other transactions have not committed is not seen: a quota may be exceeded by what is
enqueued in the same moment.
"""

from typing import Any

from controlplane.core.quotas import QuotaUsedUp

SHARDS = 32

_TODAY = "CAST(CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS date)"

# In the order of the key, so that two transactions with the same shard do not deadlock.
COUNTED = f"""counted AS (
    INSERT INTO action_counts (org, day, project, shard, actions)
    SELECT n.org, {_TODAY}, p.project, pg_backend_pid() % {SHARDS}, count(*)
    FROM n
    CROSS JOIN LATERAL (
        SELECT r.project FROM runs r WHERE r.org = n.org AND r.run_id = n.run_id LIMIT 1
    ) r
    CROSS JOIN LATERAL (VALUES (''), (r.project)) AS p (project)
    GROUP BY n.org, p.project ORDER BY n.org, p.project
    ON CONFLICT (org, day, project, shard)
    DO UPDATE SET actions = action_counts.actions + EXCLUDED.actions
)"""
"""Common table expression that counts the set ``n`` of dispatches, which have a run."""


def used_up(org: str, project: str) -> str:
    """Return SQL for the quota of actions per day that allows no more; NULL if all do. See ``parse_used_up``."""
    return f"""(
        SELECT jsonb_build_array(q.project, q.actions_per_day, u.used)
        FROM quotas q CROSS JOIN LATERAL (
            SELECT COALESCE(sum(c.actions), 0) AS used FROM action_counts c
            WHERE c.org = q.org AND c.day = {_TODAY} AND c.project = q.project
        ) u
        WHERE q.org = {org} AND q.project IN ('', {project}) AND q.actions_per_day > 0
          AND u.used >= q.actions_per_day
        ORDER BY q.project LIMIT 1
    )"""


def parse_used_up(found: Any) -> QuotaUsedUp | None:
    if found is None:
        return None
    project, limit, used = found
    return QuotaUsedUp(project, int(limit), int(used))
