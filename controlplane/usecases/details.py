"""Refreshes a watched action's details from the rows that its feed offers."""

from collections.abc import Sequence
from dataclasses import replace

from controlplane.core.actions import ActionDetail, ActionRow, ActionType
from controlplane.store.database import Database
from controlplane.store.resources.actions import list_attempts
from shared.model.ids import OrgName


async def refresh(
    database: Database, org: OrgName, detail: ActionDetail, offered: Sequence[ActionRow]
) -> ActionDetail:
    """
    Return the details after the changes that the feed offered, oldest first.

    The feed has read the row for all watchers, and a spec is immutable: only a task's attempts
    are read, and nothing if the change is already included.
    """
    row = offered[-1]
    if row.change <= detail.row.change:
        return detail
    if row.type is not ActionType.TASK:
        return replace(detail, row=row)
    async with database.for_org(org) as tx:
        return replace(detail, row=row, attempts=await list_attempts(tx, row.id))
