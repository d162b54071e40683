"""What an operator may ask of queues: to look, to make or change one, to delete one."""

import logging
from collections.abc import Sequence

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import ConflictError, InvalidError, NotFoundError
from controlplane.core.names import parse_pool, parse_queue
from controlplane.core.queues import Queue, QueueChange, QueueStatus
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import queues as store
from controlplane.store.resources.queues import Deleted
from shared.kit.clock import Clock

log = logging.getLogger(__name__)

_TRIES = 5


class Queues:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[QueueStatus]:
        caller.require(Permission.QUEUE_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_queues(tx)

    async def set(self, caller: Caller, name: str, change: QueueChange) -> QueueStatus:
        """Make the queue, or change it; what waits in it follows at once."""
        caller.require(Permission.QUEUE_WRITE)
        parse_queue(name)
        if change.pool is not None:
            parse_pool(change.pool)
        async with self._database.for_org(caller.org) as tx:
            queue = change.apply(await store.find_queue(tx, name) or Queue(name=name))
            await store.save_queue(tx, queue, self._clock.now())
            status = await _get(tx, name)
        log.info("queue set", extra={"queue": name, "by": caller.subject})
        return status

    async def delete(self, caller: Caller, name: str, *, move_to: str | None) -> None:
        """
        Delete a queue; one in use is kept, unless its work may move to another.

        ``move_to`` "" is the queue of whoever names none. NotFoundError, ConflictError.
        """
        caller.require(Permission.QUEUE_WRITE)
        if move_to == name:
            raise InvalidError(f"queue {name} cannot move to itself; name another")
        for _ in range(_TRIES):
            async with self._database.for_org(caller.org) as tx:
                await _get(tx, name)
                if move_to:
                    await _get(tx, move_to)
                deleted = await store.delete_queue(tx, name, into=move_to)
            match deleted:
                case Deleted.DELETED:
                    log.info("queue deleted", extra={"queue": name, "by": caller.subject})
                    return
                case Deleted.IN_USE:
                    raise ConflictError(
                        f"queue {name} is in use; wait until it is empty, or say where its "
                        "work moves to"
                    )
                case Deleted.CHANGED:
                    continue
        raise ConflictError(f"runs keep coming into queue {name}; try again")


async def _get(tx: OrgTx, name: str) -> QueueStatus:
    status = await store.find_status(tx, name)
    if status is None:
        there_are = [each.queue.name for each in await store.list_queues(tx)]
        raise NotFoundError("queue", name, there_are=there_are)
    return status
