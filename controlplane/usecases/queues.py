"""Use cases of queues: list, create, change and delete them."""

import logging
from collections.abc import Sequence
from dataclasses import fields

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import ConflictError, InvalidError, NotFoundError
from controlplane.core.names import parse_pool, parse_queue
from controlplane.core.queues import Queue, QueueChange, QueueStatus
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import queues as store
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import ActionId, OrgName

log = logging.getLogger(__name__)

_TRIES = 5


class Queues:
    """Use cases of queues, for operators."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[QueueStatus]:
        """List the org's queues with counts of their actions."""
        caller.require(Permission.QUEUE_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_queues(tx)

    async def set(self, caller: Caller, name: str, change: QueueChange) -> QueueStatus:
        """
        Create the queue or change it; its actions follow the change page by page.

        If this ends in between, some keep the former settings until the request is repeated.
        """
        caller.require(Permission.QUEUE_WRITE)
        parse_queue(name)
        if change.pool is not None:
            parse_pool(change.pool)
        async with self._database.for_org(caller.org) as tx:
            queue = change.apply(await store.find_queue(tx, name) or Queue(name=name))
            await store.save_queue(tx, queue, self._clock.now())
            await record(
                tx, self._clock, caller, "queue.set", f"queue:{name}", detail=_detail(change)
            )
        await self._follow(caller.org, name, name)
        async with self._database.for_org(caller.org) as tx:
            status = await _get(tx, name)
        log.info("queue set", extra={"queue": name, "by": caller.subject})
        return status

    async def delete(self, caller: Caller, name: str, *, move_to: str | None) -> None:
        """
        Delete a queue; one in use is kept, unless ``move_to`` names a queue for its work.

        ``move_to`` "" is the default queue. NotFoundError, ConflictError.
        """
        caller.require(Permission.QUEUE_WRITE)
        if move_to == name:
            raise InvalidError(
                f"the work of queue {name} cannot move to itself; name another queue"
            )
        for _ in range(_TRIES):
            async with self._database.for_org(caller.org) as tx:
                await _get(tx, name)
                if move_to:
                    await _get(tx, move_to)
                deleted = await store.delete_queue(tx, name)
                if deleted:
                    detail = {} if move_to is None else {"move_to": move_to or "default"}
                    await record(
                        tx, self._clock, caller, "queue.delete", f"queue:{name}", detail=detail
                    )
            if deleted:
                log.info("queue deleted", extra={"queue": name, "by": caller.subject})
                return
            if move_to is None:
                raise ConflictError(
                    f"queue {name} is in use; wait until it is empty, or name a queue to move "
                    "its work to"
                )
            await self._move_runs(caller.org, name, move_to)
            await self._follow(caller.org, name, move_to)
        raise ConflictError(f"actions enter queue {name} at the same time; try again")

    async def _follow(self, org: OrgName, queue: str, into: str) -> None:
        """Give the dispatches of ``queue`` the settings of ``into``, a page a transaction."""
        past: ActionId | None = None
        while True:
            async with self._database.for_org(org) as tx:
                past = await store.follow_page(tx, queue, into, past=past)
            if past is None:
                return

    async def _move_runs(self, org: OrgName, queue: str, into: str) -> None:
        past: ActionId | None = None
        while True:
            async with self._database.for_org(org) as tx:
                past = await store.move_runs_page(tx, queue, into, past=past)
            if past is None:
                return


def _detail(change: QueueChange) -> dict[str, str]:
    """Return what a change sets, by the setting's name."""
    given = {each.name: getattr(change, each.name) for each in fields(change)}
    return {name: str(value) for name, value in given.items() if value is not None}


async def _get(tx: OrgTx, name: str) -> QueueStatus:
    status = await store.find_status(tx, name)
    if status is None:
        there_are = [each.queue.name for each in await store.list_queues(tx)]
        raise NotFoundError("queue", name, there_are=there_are)
    return status
