"""Use cases of notifications: list deliveries, and send ended ones again."""

from collections.abc import Collection, Sequence
from uuid import UUID

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.lists import MAX_LIMIT
from controlplane.core.notifications import Delivery, DeliveryState
from controlplane.store.database import Database
from controlplane.store.notify import delivery_lists as store
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock


class Notifications:
    """Use cases of deliveries, for people on call."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list_deliveries(
        self,
        caller: Caller,
        states: Collection[DeliveryState] = frozenset(DeliveryState),
        *,
        limit: int = MAX_LIMIT,
        before: UUID | None = None,
    ) -> tuple[Sequence[Delivery], UUID | None]:
        """
        List deliveries, newest first, and the one before which the next page begins.

        They are those of the projects and domains where the caller may read notifications.
        """
        caller.require_somewhere(Permission.NOTIFICATION_READ)
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_deliveries(
                tx,
                states,
                before=before,
                most=limit + 1,
                visible=caller.list_scopes(Permission.NOTIFICATION_READ),
            )
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def resend_deliveries(self, caller: Caller, ids: Collection[UUID]) -> Sequence[UUID]:
        """
        Send deliveries that ended again; return their ids. Pending ones stay as they are.

        InvalidError for none; NotFoundError if one is unknown, or is of a project where the caller
        may not read; NotAllowedError if it may only read there. Then none is sent.
        """
        caller.require_somewhere(Permission.NOTIFICATION_WRITE)
        if not ids:
            raise InvalidError("ids: names no delivery; name those that are to be sent again")
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_deliveries(tx, ids)
            unknown = [
                each
                for each in sorted(ids)
                if each not in found or not caller.may(Permission.NOTIFICATION_READ, *found[each])
            ]
            if unknown:
                raise NotFoundError("delivery", str(unknown[0]))
            for project, domain in sorted({*found.values()}):
                caller.require(Permission.NOTIFICATION_WRITE, project, domain)
            resent = await store.resend_deliveries(tx, ids, self._clock.now())
            if resent:
                await record(
                    tx,
                    self._clock,
                    caller,
                    "notification.resend",
                    f"delivery:{resent[0]}",
                    detail={"count": str(len(resent))},
                )
        return resent
