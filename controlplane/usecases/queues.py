"""Use cases of queues: list, create, change and delete them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotFoundError,
)
from controlplane.core.identity import require_version
from controlplane.core.lists import MAX_LIMIT
from controlplane.core.names import parse_pool, parse_queue
from controlplane.core.queues import Queue, QueueChange, QueueStatus
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import queues as store
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import ActionId, OrgName

log = logging.getLogger(__name__)

_TRIES = 5
_MOST_NAMED = 20  # names in an error


class Queues:
    """Use cases of queues, for operators."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(
        self, caller: Caller, *, limit: int = MAX_LIMIT, after: str = ""
    ) -> tuple[Sequence[QueueStatus], str]:
        """
        List queues by name with counts of their actions.

        Returns the name after which the next page begins, too; "" at the end.
        """
        caller.require(Permission.QUEUE_READ)
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_queues(tx, after=after, most=limit + 1)
        return found[:limit], found[limit - 1].queue.name if len(found) > limit else ""

    async def get(self, caller: Caller, name: str) -> QueueStatus:
        """Return a queue; NotFoundError lists the existing queues."""
        caller.require(Permission.QUEUE_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, name)

    async def create(self, caller: Caller, name: str, change: QueueChange) -> QueueStatus:
        """Create a queue; idempotent for the same settings, else AlreadyExistsError."""
        caller.require(Permission.QUEUE_WRITE)
        queue = _apply(Queue(name=parse_queue(name)), change)
        async with self._database.for_org(caller.org) as tx:
            if await store.insert_queue(tx, queue, self._clock.now()):
                await record(
                    tx,
                    self._clock,
                    caller,
                    "queue.set",
                    f"queue:{name}",
                    detail=_detail(Queue(name=name), queue),
                )
            status = await _get(tx, name)
        if replace(status.queue, version=0) != queue:
            raise AlreadyExistsError(
                f"queue {name} exists with other settings; update it, or choose another name"
            )
        log.info("queue created", extra={"queue": name, "by": caller.subject})
        return status

    async def set(self, caller: Caller, name: str, change: QueueChange) -> QueueStatus:
        """Create the queue or change it; see ``update``."""
        return await self.update(caller, name, change, allow_missing=True)

    async def update(
        self,
        caller: Caller,
        name: str,
        change: QueueChange,
        *,
        version: int | None = None,
        allow_missing: bool = False,
    ) -> QueueStatus:
        """
        Change a queue; its actions follow the change page by page.

        If this ends in between, some keep the former settings until the request is repeated.
        NotFoundError unless ``allow_missing``, which creates it. ConflictError (a stale
        ``version``), InvalidError.
        """
        caller.require(Permission.QUEUE_WRITE)
        parse_queue(name)
        async with self._database.for_org(caller.org) as tx:
            before = await store.find_queue(tx, name)
            if before is None and not allow_missing:
                await _get(tx, name)
            current = before or Queue(name=name)
            require_version(f"queue {name}", current.version, version)
            changed = _apply(current, change)
            if before is None or changed != before:
                await store.save_queue(tx, changed, self._clock.now())
                await record(
                    tx,
                    self._clock,
                    caller,
                    "queue.set",
                    f"queue:{name}",
                    detail=_detail(current, changed),
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


async def _get(tx: OrgTx, name: str) -> QueueStatus:
    status = await store.find_status(tx, name)
    if status is None:
        there_are = await store.list_names(tx, most=_MOST_NAMED)
        raise NotFoundError("queue", name, there_are=there_are)
    return status


def _apply(queue: Queue, change: QueueChange) -> Queue:
    if change.pool is not None:
        parse_pool(change.pool)
    return change.apply(queue)


def _detail(before: Queue, after: Queue) -> Mapping[str, str]:
    """Return the settings that a change sets, for the audit log."""
    return {
        each.name: str(getattr(after, each.name))
        for each in fields(Queue)
        if each.name not in {"name", "version"}
        and getattr(after, each.name) != getattr(before, each.name)
    }
