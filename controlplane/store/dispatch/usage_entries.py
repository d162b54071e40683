"""
SQL that meters attempts in the statement that writes their end.

An attempt is metered from when it started to when it ended. ``core.attempts`` has put both between its
lease and the time of the report, so no agent's clock can add usage.
"""

# The rows of attempts are as they were before the statement, so one that had ended is not metered again.
METERED = """metered AS (
    INSERT INTO usage_entries (org, action_id, attempt, project, domain, task, cluster, queue,
                               began_at, ended_at, cpu_millis, memory_bytes, accelerators)
    SELECT n.org, n.action_id, n.number, r.project, r.domain, a.task_name, t.cluster, t.queue,
           LEAST(COALESCE(n.started_at, n.ended_at), n.ended_at), n.ended_at, s.cpu_millis, s.memory_bytes, s.accelerators
    FROM n
    CROSS JOIN LATERAL (
        SELECT t.cluster, t.queue FROM attempts t
        WHERE t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
          AND t.lease_id = n.lease_id AND t.version < n.version AND t.ended_at IS NULL LIMIT 1
    ) t
    CROSS JOIN LATERAL (
        SELECT a.run_id, a.task_name, a.spec FROM actions a
        WHERE a.org = n.org AND a.id = n.action_id LIMIT 1
    ) a
    CROSS JOIN LATERAL (
        SELECT r.project, r.domain FROM runs r
        WHERE r.org = n.org AND r.run_id = a.run_id LIMIT 1
    ) r
    CROSS JOIN LATERAL (
        SELECT s.cpu_millis, s.memory_bytes, s.accelerators FROM specs s
        WHERE s.org = n.org AND s.digest = a.spec LIMIT 1
    ) s
    WHERE n.ended_at IS NOT NULL
    ON CONFLICT DO NOTHING
)"""
"""Common table expression that meters the attempts of the set ``n`` that end now."""
