"""Lists attempts with their leases, and groups the failures of a run by cause."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from controlplane.core.action_timings import RefusedReport, ReturnedLease
from controlplane.core.attempt_history import MOST_EXAMPLES, AttemptRecord, FailureGroup
from controlplane.core.errors import InvalidError
from controlplane.core.reason_codes import LEASE_RETURNED, REPORT_REFUSED
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.refused_reports import parse_refused
from controlplane.store.rows import parse_enum, parse_failure
from controlplane.store.statements import statement
from shared.model.ids import ActionName, RunId
from shared.model.phases import Phase
from shared.model.reports import FailureKind

_MOST_OFFSET = 1_000_000

_ACTION = statement("""
SELECT a.id, a.attempts, a.phase, a.aborted_by FROM actions a
WHERE a.org = :org AND a.run_id = :run_id AND a.name = :name
""")

_ATTEMPTS = statement("""
SELECT t.number, t.phase, t.cluster, t.epoch, t.lease_id, t.available_at, t.leased_at,
       t.accepted_at, t.started_at, t.ended_at, t.error_code, t.error_kind, t.error_message,
       t.error_recoverable, t.error_uri
FROM attempts t WHERE t.org = :org AND t.action_id = :id AND t.number > :after
ORDER BY t.org, t.action_id, t.number LIMIT :most
""")

# Of each attempt in the page a few: one that no agent accepts goes back every minute, and of its
# refused reports only some are recorded.
_LEASE_EVENTS = statement(f"""
SELECT e.attempt, e.at, e.reason, e.message, e.events FROM action_events e
WHERE e.org = :org AND e.action_id = :id AND e.attempt > :after AND e.attempt <= :last
  AND e.version = 0 AND e.reason IN ('{LEASE_RETURNED}', '{REPORT_REFUSED}')
ORDER BY e.org, e.action_id, e.attempt, e.version, e.at LIMIT 1000
""")

# A line of the error: the last one of a traceback, or else the first.
_LINE = r"""
left(CASE WHEN {of} LIKE 'Traceback (%' THEN substring(rtrim({of}, E' \n') FROM '[^\n]*$')
          ELSE split_part(ltrim({of}, E' \n'), E'\n', 1) END, 500)
"""
_IDS = r"\m(0x[0-9a-f]+|(?=[a-f]*[0-9])[0-9a-f]{8,}(-[0-9a-f]{4,})*)\M"
_MASKED = (
    f"regexp_replace(regexp_replace({_LINE}, '{_IDS}', '#', 'gi'),"
    r" '[0-9]+([.,:][0-9]+)*', '#', 'g')"
)

# Attempts that failed, retried ones too, and actions that failed without an attempt: traces, and
# those that timed out while they waited.
_FAILURES = statement(f"""
WITH failed AS MATERIALIZED (
    SELECT a.id, a.name, a.attempts, a.error_code, a.error_kind, a.error_message, a.ended_at,
           a.phase
    FROM actions a
    WHERE a.org = :org AND a.run_id = :run_id AND (a.attempts > 1 OR a.error_code IS NOT NULL)
), causes AS (
    SELECT f.id, f.name, t.number = f.attempts AND f.error_code IS NOT NULL AS is_end, t.error_kind AS kind,
           t.error_code AS code, {_MASKED.replace("{of}", "t.error_message")} AS message,
           t.ended_at
    FROM failed f CROSS JOIN LATERAL (
        SELECT t.* FROM attempts t WHERE t.org = :org AND t.action_id = f.id
        ORDER BY t.org, t.action_id, t.number
    ) t
    WHERE t.error_code IS NOT NULL
  UNION ALL
    SELECT f.id, f.name, true, f.error_kind, f.error_code,
           {_MASKED.replace("{of}", "f.error_message")}, f.ended_at
    FROM failed f
    WHERE f.error_code IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM attempts t WHERE t.org = :org AND t.action_id = f.id AND t.number = f.attempts
                                   AND t.error_code IS NOT NULL
    )
)
SELECT c.kind, c.code, c.message, count(*) AS attempts, count(DISTINCT c.id) AS actions,
       count(*) FILTER (WHERE c.is_end) AS ended, min(c.ended_at) AS first_at,
       max(c.ended_at) AS last_at,
       (array_agg(DISTINCT c.name))[1:{MOST_EXAMPLES}] AS examples
FROM causes c GROUP BY c.kind, c.code, c.message
ORDER BY attempts DESC, c.kind, c.code, c.message LIMIT :most OFFSET :skip
""")


async def list_attempts(
    tx: OrgTx, run: RunId, action: ActionName, *, after: int, most: int
) -> Sequence[AttemptRecord] | None:
    """List an action's attempts from after number ``after`` on; None if it does not exist."""
    found = (await tx.execute(_ACTION, {"run_id": run, "name": action})).one_or_none()
    if found is None:
        return None
    of = {"id": found.id, "after": after}
    rows = await tx.rows(_ATTEMPTS, {**of, "most": most})
    if not rows:
        return []
    returned: dict[int, list[ReturnedLease]] = defaultdict(list)
    refused: dict[int, list[RefusedReport]] = defaultdict(list)
    for event in await tx.rows(_LEASE_EVENTS, {**of, "last": rows[-1].number}):
        if event.reason == REPORT_REFUSED:
            refused[event.attempt].append(parse_refused(event))
            continue
        leased_at = datetime.fromisoformat(event.events[0]["at"])
        returned[event.attempt].append(
            ReturnedLease(cluster=event.message, leased_at=leased_at, returned_at=event.at)
        )
    return [
        AttemptRecord(
            number=row.number,
            phase=parse_enum(row.phase, Phase.UNKNOWN),
            cluster=row.cluster,
            epoch=row.epoch,
            lease=str(row.lease_id),
            available_at=row.available_at,
            leased_at=row.leased_at,
            accepted_at=row.accepted_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            failure=parse_failure(row),
            aborted_by=found.aborted_by if row.number == found.attempts else "",
            returned=returned[row.number],
            refused=refused[row.number],
        )
        for row in rows
    ]


async def list_failures(
    tx: OrgTx, run: RunId, *, token: str, most: int
) -> tuple[Sequence[FailureGroup], str]:
    """
    List a run's failures by cause, the most frequent first, and where the next page begins.

    Pages are by position: a run whose failures change meanwhile may repeat a cause.
    """
    skip = _parse_offset(token)
    rows = await tx.rows(_FAILURES, {"run_id": run, "most": most + 1, "skip": skip})
    groups = [
        FailureGroup(
            kind=parse_enum(row.kind or 0, FailureKind.UNKNOWN),
            code=row.code,
            message=row.message or "",
            attempts=row.attempts,
            actions=row.actions,
            ended=row.ended,
            first_at=row.first_at,
            last_at=row.last_at,
            examples=row.examples,
        )
        for row in rows[:most]
    ]
    return groups, str(skip + most) if len(rows) > most else ""


def _parse_offset(token: str) -> int:
    if not token:
        return 0
    if not token.isascii() or not token.isdigit() or int(token[:10]) > _MOST_OFFSET:
        raise InvalidError("page_token: is not of this list; start at the first page")
    return int(token)
