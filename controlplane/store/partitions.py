"""Adds and drops the daily partitions of action_events."""

from datetime import date

from controlplane.store.database import FleetTx
from controlplane.store.statements import statement

_ADD_DAYS = statement("SELECT add_action_events_days(:first, :days) AS added")
_DROP_DAYS = statement("SELECT drop_action_events_before(:first) AS dropped")


async def add_event_days(tx: FleetTx, first: date, days: int) -> int:
    """Create partitions of action_events for ``days`` from ``first`` on; return how many."""
    rows = await tx.connection.execute(_ADD_DAYS, {"first": first, "days": days})
    added: int = rows.one().added
    return added


async def drop_event_days(tx: FleetTx, before: date) -> int:
    """Drop the partitions of all days before ``before``; return how many."""
    rows = await tx.connection.execute(_DROP_DAYS, {"first": before})
    dropped: int = rows.one().dropped
    return dropped
