"""What a caller may ask of actions: enqueue, watch, abort, answer, read their logs."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import timedelta

from controlplane.core.actions import (
    ActionDetail,
    ActionRow,
    ActionType,
    NewAction,
    Page,
    SnapshotEnd,
)
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    BusyError,
    ConflictError,
    ExhaustedError,
    NotFoundError,
    NotReadyError,
    QueueNotFoundError,
    UnavailableError,
)
from controlplane.core.lists import Listing
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.enqueue import Enqueue, Enqueued, enqueue
from controlplane.store.resources import actions as store, lists as store_lists
from controlplane.store.resources.runs import find_run, get_change
from controlplane.usecases.details import refresh
from shared.kit.batching import Batcher, OverfullError, StoppedError
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, ActionKey, ActionName, OrgName, RunId, RunKey
from shared.model.phases import TERMINAL
from shared.model.reports import ClusterEvent

MOST_IN_A_COMMIT = 500
SHARED_LOCK_TIMEOUT = timedelta(milliseconds=250)
"""How long the actions of many runs wait together; locked runs and queues are skipped."""
LOCK_TIMEOUT = timedelta(milliseconds=250)
LOCK_RETRY_INTERVAL = timedelta(milliseconds=250)
LOCK_TRIES = 20
"""A locked run's own actions: ten seconds in all, half of it without a connection."""
LOCK_WAITERS = 3
"""Connections that may wait for locked runs at once."""
MOST_WAITING = 20_000
SNAPSHOT_PAGE = 1_000


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Apart:
    """Whose enqueues wait together for a lock: one run's, into one queue ("": the run's)."""

    org: OrgName
    run: RunKey
    queue: str


class Actions:
    """``run`` must be running for ``enqueue`` to be answered."""

    def __init__(self, database: Database, feeds: Feeds, clock: Clock) -> None:
        self._database = database
        self._feeds = feeds
        self._clock = clock
        self._enqueues: Batcher[OrgName, Enqueue, Enqueued] = Batcher(
            self._commit,
            most=MOST_IN_A_COMMIT,
            most_waiting=MOST_WAITING,
            shared_fate=(UnavailableError,),
        )
        self._enqueues_of_locked: Batcher[_Apart, Enqueue, Enqueued] = Batcher(
            self._commit_apart,
            most=MOST_IN_A_COMMIT,
            most_waiting=MOST_WAITING,
            shared_fate=(UnavailableError,),
        )
        self._lock_waiters = asyncio.Semaphore(LOCK_WAITERS)

    async def run(self) -> None:
        """Commit what is enqueued, in groups, until cancelled."""
        async with asyncio.TaskGroup() as batchers:
            batchers.create_task(self._enqueues.run(), name="enqueues")
            batchers.create_task(self._enqueues_of_locked.run(), name="enqueues of locked runs")

    async def enqueue(self, caller: Caller, new: NewAction) -> None:
        """
        Take an action in; asked again with the same content, nothing changes.

        NotFoundError (run, parent), ConflictError (the parent has ended),
        AlreadyExistsError (same name, other content), UnavailableError.
        """
        caller.require(Permission.ACTION_ENQUEUE)
        request = Enqueue(ActionId(new_uuid(self._clock.now())), new)
        try:
            answer = await self._take_in(caller.org, request)
        except OverfullError as error:
            raise UnavailableError("too many actions are being enqueued; try again") from error
        except StoppedError as error:
            raise UnavailableError("this replica is stopping; try again") from error
        match answer:
            case Enqueued.CREATED | Enqueued.REPEATED:
                return
            case Enqueued.DIFFERENT:
                raise AlreadyExistsError(
                    f"action {new.key} exists with another task or other inputs; "
                    "what was there first stays"
                )
            case Enqueued.NO_RUN:
                raise NotFoundError("run", new.key.run)
            case Enqueued.NO_PARENT:
                raise NotFoundError("parent action", ActionKey(new.key.run, new.parent))
            case Enqueued.NO_QUEUE:
                raise QueueNotFoundError(new.queue)
            case Enqueued.QUEUE_FULL:
                raise ExhaustedError(
                    f"the queue of {new.key} is full; the SDK tries again until there is room"
                )
            case Enqueued.PARENT_ENDED:
                raise ConflictError(
                    f"parent action {new.key.run}/{new.parent} has ended; "
                    "nothing more can be enqueued below it"
                )
            case Enqueued.BUSY:
                raise _busy(new.key.run)

    async def abort(self, caller: Caller, action: ActionKey, reason: str) -> None:
        """Abort an action and all below it; what has ended stays as it ended."""
        caller.require(Permission.RUN_ABORT)
        async with self._database.for_org(caller.org) as tx:
            run = await self._run(tx, action.run)
            ended = await abort(
                tx,
                run,
                action.name,
                reason=reason or "no reason given",
                by=caller.subject,
                now=self._clock.now(),
            )
            if not ended:
                await self._detail(tx, run, action)  # it must at least exist

    async def detail(self, caller: Caller, action: ActionKey) -> ActionDetail:
        caller.require(Permission.ACTION_READ)
        async with self._database.for_org(caller.org) as tx:
            return await self._detail(tx, await self._run(tx, action.run), action)

    async def list(self, caller: Caller, run: RunKey, listing: Listing) -> Page:
        caller.require(Permission.ACTION_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store_lists.list_actions(tx, await self._run(tx, run), listing)

    async def watch_detail(
        self, caller: Caller, action: ActionKey, *, at_least_every: timedelta | None = None
    ) -> AsyncGenerator[ActionDetail, None]:
        """
        Yield the action now and after each change; ends once its end has been yielded.

        ``at_least_every``: yield it so often even if nothing changed.
        """
        caller.require(Permission.ACTION_READ)
        timeout_seconds = None if at_least_every is None else at_least_every.total_seconds()
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(self._feeds.opening())
            async with self._database.for_org(caller.org) as tx:
                run = await self._run(tx, action.run)
            changes = await stack.enter_async_context(
                self._feeds.changes(caller.org, run, name=action.name)
            )
            detail = await self._read_detail(caller, run, action)
            while True:
                yield detail
                opened()
                if detail.row.phase in TERMINAL:
                    return
                try:
                    async with asyncio.timeout(timeout_seconds):
                        offered = await changes.take()
                except TimeoutError:  # asked for
                    detail = await self._read_detail(caller, run, action)
                else:
                    detail = await refresh(self._database, caller.org, detail, offered)

    def watch_run(
        self, caller: Caller, run: RunKey
    ) -> AsyncIterator[Sequence[ActionRow] | SnapshotEnd]:
        """Yield all actions of a run, SnapshotEnd, then changes, until cancelled."""
        return self._watch(caller, run, None)

    def watch_children(
        self, caller: Caller, parent: ActionKey
    ) -> AsyncIterator[Sequence[ActionRow] | SnapshotEnd]:
        """Yield the direct children of ``parent``, SnapshotEnd, then changes, until cancelled."""
        return self._watch(caller, parent.run, parent.name)

    async def signal(
        self, caller: Caller, action: ActionKey, parent: ActionName | None, value: bytes
    ) -> None:
        """Answer a condition; NotReadyError when it is none, or has been answered."""
        caller.require(Permission.RUN_SIGNAL)
        async with self._database.for_org(caller.org) as tx:
            run = await self._run(tx, action.run)
            detail = await self._detail(tx, run, action)
            if parent is not None and detail.row.parent != parent:
                raise NotFoundError("condition", f"{action} below {parent}")
            if detail.row.type is not ActionType.CONDITION:
                raise NotReadyError(f"action {action} is not a condition; only those take signals")
            answered = await store.signal(
                tx, run, action.name, value=value, by=caller.subject, now=self._clock.now()
            )
            if not answered:
                raise NotReadyError(
                    f"condition {action} has ended already ({detail.row.phase.name})"
                )

    async def cluster_events(
        self, caller: Caller, action: ActionKey, attempt: int
    ) -> AsyncIterator[Sequence[ClusterEvent]]:
        """Yield what the cluster said of one attempt, as it comes, until the action ends."""
        seen = 0
        async with aclosing(self.watch_detail(caller, action)) as details:
            async for detail in details:
                cluster_events = next(
                    (each.events for each in detail.attempts if each.number == attempt), ()
                )
                if len(cluster_events) > seen:
                    yield cluster_events[seen:]
                    seen = len(cluster_events)

    async def _watch(
        self, caller: Caller, key: RunKey, parent: ActionName | None
    ) -> AsyncIterator[Sequence[ActionRow] | SnapshotEnd]:
        caller.require(Permission.ACTION_READ)
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(self._feeds.opening())
            async with self._database.for_org(caller.org) as tx:
                run = await self._run(tx, key)
                if parent is not None:
                    await self._detail(tx, run, ActionKey(key, parent))
            changes = await stack.enter_async_context(
                self._feeds.changes(caller.org, run, parent=parent)
            )
            async with self._database.for_org(caller.org) as tx:
                complete_to = await get_change(tx, run)
            after = ""
            while True:
                async with self._database.for_org(caller.org) as tx:
                    rows = await store.list_by_name(
                        tx, run, after=after, most=SNAPSHOT_PAGE, parent=parent
                    )
                if rows:
                    yield rows
                    after = rows[-1].key.name
                if len(rows) < SNAPSHOT_PAGE:
                    break
            yield SnapshotEnd.TOKEN
            opened()
            while True:
                # What the snapshot showed is offered again if it came in meanwhile: once
                # too often is harmless, once too few is not.
                fresh = [row for row in await changes.take() if row.change > complete_to]
                if fresh:
                    yield fresh

    async def _take_in(self, org: OrgName, request: Enqueue) -> Enqueued:
        """
        Enqueue with all that waits in the org; what another transaction holds up, apart.

        One locked run, queue or spec delays nobody else's actions.
        """
        apart = _Apart(org, request.action.key.run, request.action.queue)
        if apart not in self._enqueues_of_locked:
            answer = await self._enqueues.submit(org, request)
            if answer is not Enqueued.BUSY:
                return answer
        return await self._enqueues_of_locked.submit(apart, request)

    async def _commit(self, org: OrgName, requests: Sequence[Enqueue]) -> Sequence[Enqueued]:
        try:
            async with self._database.for_org(org, lock_timeout=SHARED_LOCK_TIMEOUT) as tx:
                return await enqueue(tx, requests, self._clock.now(), skip_locked=True)
        except BusyError:  # a row that cannot be skipped: it is not known whose
            return [Enqueued.BUSY for _ in requests]

    async def _commit_apart(
        self, apart: "_Apart", requests: Sequence[Enqueue]
    ) -> Sequence[Enqueued]:
        """Wait for the lock a moment at a time, so that others have the connection between."""
        for attempt in range(LOCK_TRIES):
            if attempt:
                await self._clock.sleep(LOCK_RETRY_INTERVAL)
            try:
                async with (
                    self._lock_waiters,
                    self._database.for_org(apart.org, lock_timeout=LOCK_TIMEOUT) as tx,
                ):
                    return await enqueue(tx, requests, self._clock.now())
            except BusyError:
                continue
        log.warning(
            "enqueue gave up on a locked run",
            extra={"org": apart.org, "run": str(apart.run), "waiting": len(requests)},
        )
        return [Enqueued.BUSY for _ in requests]

    async def _run(self, tx: OrgTx, key: RunKey) -> RunId:
        run = await find_run(tx, key)
        if run is None:
            raise NotFoundError("run", key)
        return run

    async def _read_detail(self, caller: Caller, run: RunId, action: ActionKey) -> ActionDetail:
        async with self._database.for_org(caller.org) as tx:
            return await self._detail(tx, run, action)

    async def _detail(self, tx: OrgTx, run: RunId, action: ActionKey) -> ActionDetail:
        detail = await store.find_detail(tx, run, action.name)
        if detail is None:
            raise NotFoundError("action", action)
        return detail


def _busy(run: RunKey) -> BusyError:
    return BusyError(f"run {run} or its queue is locked by another transaction; try again")
