"""
Records reports that were refused because their lease was not current.

They are events of their attempt (``action_events``, version 0), so they are kept and deleted with those.
Nothing is written while nothing is refused, and at most MOST_REFUSED for an attempt: an agent that
repeats itself fills no table.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row

from controlplane.core.action_timings import MOST_REFUSED, RefusedReport
from controlplane.core.reason_codes import REPORT_REFUSED
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.model.ids import AttemptId, ClusterName
from shared.model.phases import Phase
from shared.model.reports import Report

# Only of attempts that exist: an agent may name any. The phase is that of LEASE_RETURNED, which the
# release before reads as no change of phase. A report that is sent again is recorded once. The times
# differ from each other, because they are a part of the key.
_RECORD = statement(f"""
{given(
    action_id="uuid", attempt="integer", rank="integer", lease="text", version="integer",
    events="jsonb",
)}
INSERT INTO action_events (org, action_id, attempt, version, at, phase, reason, message, events)
SELECT n.org, n.action_id, n.attempt, 0,
       CAST(:now AS timestamptz) + (before.recorded + n.rank) * interval '1 microsecond',
       {Phase.QUEUED.value}, '{REPORT_REFUSED}', :cluster, n.events
FROM n
JOIN attempts t ON t.org = n.org AND t.action_id = n.action_id AND t.number = n.attempt
CROSS JOIN LATERAL (
    SELECT count(*) AS recorded,
           count(*) FILTER (WHERE e.events->0->>'lease' = n.lease
                              AND e.events->0->>'version' = n.version::text) AS equal
    FROM action_events e
    WHERE e.org = n.org AND e.action_id = n.action_id AND e.attempt = n.attempt
      AND e.version = 0 AND e.reason = '{REPORT_REFUSED}'
) before
WHERE before.equal = 0 AND before.recorded + n.rank <= {MOST_REFUSED}
ON CONFLICT DO NOTHING
""")  # fmt: skip


async def record_refused(
    tx: OrgTx, cluster: ClusterName, reports: Sequence[Report], now: datetime
) -> None:
    """Record the refused reports of a frame, the first ones of each attempt."""
    ranks: Counter[AttemptId] = Counter()
    kept: list[tuple[Report, int]] = []
    for report in reports:
        ranks[report.attempt] += 1
        if ranks[report.attempt] <= MOST_REFUSED:
            kept.append((report, ranks[report.attempt]))
    if not kept:
        return
    await tx.execute(
        _RECORD,
        {
            "cluster": cluster,
            "action_id": [report.attempt.action for report, _ in kept],
            "attempt": [report.attempt.number for report, _ in kept],
            "rank": [rank for _, rank in kept],
            "now": now,
            "lease": [str(report.lease) for report, _ in kept],
            "version": [report.version for report, _ in kept],
            "events": [json.dumps([_event(cluster, report, now)]) for report, _ in kept],
        },
    )


def _event(cluster: ClusterName, report: Report, now: datetime) -> dict[str, object]:
    phase = report.phase.name.lower().replace("_", " ")
    return {
        "at": now.isoformat(),
        "reason": REPORT_REFUSED,
        "message": f"Cluster {cluster} reported {phase} with a lease that is not current;"
        " the report was refused, and changed nothing.",
        "lease": str(report.lease),
        "version": report.version,
        "phase": report.phase.value,
    }


def parse_refused(event: Row[tuple[object, ...]]) -> RefusedReport:
    """Return the refused report that a row of action_events records."""
    recorded = event.events[0]
    return RefusedReport(
        attempt=event.attempt,
        cluster=event.message,
        lease=recorded["lease"],
        phase=parse_enum(recorded["phase"], Phase.UNKNOWN),
        refused_at=event.at,
    )
