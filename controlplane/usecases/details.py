"""The details of an action that somebody watches, brought up to date from what the feed offers."""

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

    The feed has read the row for everybody who watches, and a spec never changes: only a
    task's attempts are read, and nothing if the change is known already.
    """
    row = offered[-1]
    if row.change <= detail.row.change:
        return detail
    if row.type is not ActionType.TASK:
        return replace(detail, row=row)
    async with database.for_org(org) as tx:
        return replace(detail, row=row, attempts=await list_attempts(tx, row.id))
