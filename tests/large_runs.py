"""Writes into the database of a stack: runs of any number of actions, and runs that began earlier."""

from datetime import timedelta

import asyncpg

_ACTIONS = """
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, group_name,
                     task_name, short_name, phase, change, created_at, updated_at, started_at,
                     ended_at, output_uri)
SELECT a.org, gen_random_uuid(), a.run_id, 'w' || lpad(n::text, 6, '0'), a.name, a.id, 1, a.spec,
       a.input_uri || n, '', 'bench.child', 'child', CASE WHEN n % 1000 = 0 THEN 6 ELSE 5 END,
       a.change + n, a.created_at, now(), now(), now() + n * interval '1 ms', 'file:///outputs'
FROM actions a, generate_series(1, $2) n WHERE a.run_id = (SELECT run_id FROM runs WHERE run = $1)
                                           AND a.parent IS NULL
"""
_ATTEMPTS = """
INSERT INTO attempts (org, action_id, number, lease_id, cluster, phase, available_at, leased_at,
                      accepted_at, started_at, ended_at)
SELECT a.org, a.id, 1, gen_random_uuid(), 'local', a.phase, a.created_at, a.created_at, a.created_at,
       a.started_at, a.ended_at
FROM actions a WHERE a.run_id = (SELECT run_id FROM runs WHERE run = $1) AND a.parent IS NOT NULL
ON CONFLICT DO NOTHING
"""
_COUNTER = "UPDATE runs SET change = change + $2 WHERE run = $1"


_EARLIER = """
UPDATE actions SET created_at = created_at - $2::interval, started_at = started_at - $2::interval
WHERE run_id = (SELECT run_id FROM runs WHERE run = $1)
"""
_EARLIER_ATTEMPTS = """
UPDATE attempts t SET available_at = t.available_at - $2::interval, leased_at = t.leased_at - $2::interval,
    accepted_at = t.accepted_at - $2::interval, started_at = t.started_at - $2::interval
FROM actions a WHERE a.id = t.action_id AND a.run_id = (SELECT run_id FROM runs WHERE run = $1)
"""


async def begin_earlier(superuser_url: str, run: str, by: timedelta) -> None:
    """Let a run that has not ended look as if it had begun earlier."""
    connection = await asyncpg.connect(superuser_url)
    try:
        async with connection.transaction():
            await connection.execute(_EARLIER, run, by)
            await connection.execute(_EARLIER_ATTEMPTS, run, by)
    finally:
        await connection.close()


async def import_actions(superuser_url: str, run: str, count: int) -> None:
    """Add ended children to a run's root: w000001 and so on, of which every thousandth failed."""
    connection = await asyncpg.connect(superuser_url)
    try:
        async with connection.transaction():
            await connection.execute(_ACTIONS, run, count)
            await connection.execute(_ATTEMPTS, run)
            await connection.execute(_COUNTER, run, count)
        await connection.execute("ANALYZE actions, attempts, runs")
    finally:
        await connection.close()
