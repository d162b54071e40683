"""Inserts deliveries of notifications whose run was deleted, for tests of lists."""

from uuid import UUID

from sqlalchemy import text

from controlplane.core.notifications import DeliveryState
from controlplane.store.database import Database
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName
from tests.factories import NOW

_INSERT = text("""
INSERT INTO deliveries (org, delivery_id, project, domain, run_id, action_id, phase, rule, channel,
                        target, state, tries, status, error, due_at, created_at, ended_at)
VALUES (:org, :id, :project, :domain, :id, :id, 6, 0, 1, :target, CAST(:state AS smallint), 1, 404, 'the receiver answered 404', :now,
        :now, CASE WHEN CAST(:state AS smallint) <> 0 THEN CAST(:now AS timestamptz) END)
""")


async def add_delivery(
    database: Database,
    org: OrgName,
    state: DeliveryState = DeliveryState.FAILED,
    *,
    target: str = "https://hooks.example",
    project: str = "",
    domain: str = "",
) -> UUID:
    """Insert a delivery; return its id."""
    made = new_uuid(NOW)
    values = {
        "id": made,
        "target": target,
        "state": state.value,
        "now": NOW,
        "project": project,
        "domain": domain,
    }
    async with database.for_org(org) as tx:
        await tx.execute(_INSERT, values)
    return made
