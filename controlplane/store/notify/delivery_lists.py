"""Lists deliveries of notifications, and makes ended ones pending again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from controlplane.core.callers import Scopes
from controlplane.core.notifications import Channel, Delivery, DeliveryState
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import given, statement
from shared.model.ids import ActionKey, ActionName, DomainName, ProjectName, RunKey, RunName
from shared.model.phases import Phase

# Ids are in the order of their creation. One page of each state, of which the newest are taken.
_LIST = statement("""
WITH page AS MATERIALIZED (
    SELECT d.* FROM unnest(CAST(:states AS smallint[])) s CROSS JOIN LATERAL (
        SELECT e.* FROM deliveries e
        WHERE e.org = :org AND e.state = s AND e.delivery_id < :before
        ORDER BY e.delivery_id DESC LIMIT :most
    ) d
    ORDER BY d.delivery_id DESC LIMIT :most
)
SELECT p.*, r.project AS run_project, r.domain AS run_domain, r.run, a.name
FROM page p
LEFT JOIN runs r ON r.org = p.org AND r.run_id = p.run_id
LEFT JOIN actions a ON a.org = p.org AND a.id = p.action_id
ORDER BY p.delivery_id DESC
""")

# As above for each scope and state. A scope without a domain takes all of its project.
_LIST_OF_SCOPES = statement("""
WITH page AS MATERIALIZED (
    SELECT d.* FROM unnest(CAST(:projects AS text[]), CAST(:domains AS text[])) c (project, domain)
    CROSS JOIN unnest(CAST(:states AS smallint[])) s CROSS JOIN LATERAL (
        SELECT e.* FROM deliveries e
        WHERE e.org = :org AND e.project = c.project AND e.state = s AND e.delivery_id < :before
          AND (c.domain = '' OR e.domain = c.domain)
        ORDER BY e.delivery_id DESC LIMIT :most
    ) d
    ORDER BY d.delivery_id DESC LIMIT :most
)
SELECT p.*, r.project AS run_project, r.domain AS run_domain, r.run, a.name
FROM page p
LEFT JOIN runs r ON r.org = p.org AND r.run_id = p.run_id
LEFT JOIN actions a ON a.org = p.org AND a.id = p.action_id
ORDER BY p.delivery_id DESC
""")

_FIND = statement("""
SELECT delivery_id, project, domain FROM deliveries
WHERE org = :org AND delivery_id = ANY(CAST(:delivery_id AS uuid[]))
""")

_RESEND = statement(f"""
{given(delivery_id="uuid")}, ended AS MATERIALIZED (
    SELECT d.org, d.delivery_id FROM deliveries d JOIN n USING (org, delivery_id)
    WHERE d.state <> 0 ORDER BY d.delivery_id FOR UPDATE OF d
)
UPDATE deliveries d SET state = 0, tries = 0, due_at = :now, ended_at = NULL, error = '', status = 0
FROM ended e WHERE d.org = e.org AND d.delivery_id = e.delivery_id AND d.state <> 0
RETURNING d.delivery_id
""")

_LAST = UUID(int=2**128 - 1)


async def list_deliveries(
    tx: OrgTx,
    states: Collection[DeliveryState],
    *,
    before: UUID | None,
    most: int,
    visible: Scopes | None = None,
) -> Sequence[Delivery]:
    """
    List deliveries in these states, newest first; ``before``: the last one of the former page.

    ``visible``: those of runs in these scopes only; None for all of the org.
    """
    values = {"states": sorted(states), "before": before or _LAST, "most": most}
    if visible is None:
        return [_parse(row) for row in await tx.rows(_LIST, values)]
    scopes = sorted(
        (project, domain)
        for project, domain in visible
        if not domain or (project, "") not in visible
    )
    of_scopes = {
        "projects": [project for project, _ in scopes],
        "domains": [domain for _, domain in scopes],
    }
    return [_parse(row) for row in await tx.rows(_LIST_OF_SCOPES, values | of_scopes)]


async def find_deliveries(
    tx: OrgTx, ids: Collection[UUID]
) -> Mapping[UUID, tuple[ProjectName, DomainName]]:
    """Return project and domain of those of the ids that are deliveries of the org."""
    rows = await tx.rows(_FIND, {"delivery_id": list(ids)})
    return {row.delivery_id: (ProjectName(row.project), DomainName(row.domain)) for row in rows}


async def resend_deliveries(tx: OrgTx, ids: Collection[UUID], now: datetime) -> Sequence[UUID]:
    """Make those that ended pending and due; return which these are, in the order of their ids."""
    await tx.plan_for(len(ids))
    rows = await tx.rows(_RESEND, {"delivery_id": list(ids), "now": now})
    return sorted(row.delivery_id for row in rows)


def _parse(row: Any) -> Delivery:
    return Delivery(
        id=row.delivery_id,
        action=None
        if row.run is None or row.name is None
        else ActionKey(
            RunKey(ProjectName(row.run_project), DomainName(row.run_domain), RunName(row.run)),
            ActionName(row.name),
        ),
        project=row.run_project or row.project,
        domain=row.run_domain or row.domain,
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        channel=Channel(row.channel),
        config=row.config,
        target=row.target,
        state=DeliveryState(row.state),
        tries=row.tries,
        status=row.status,
        error=row.error,
        created_at=row.created_at,
        due_at=row.due_at,
        ended_at=row.ended_at,
    )
