"""Use cases of actions: enqueue, read, watch, abort and signal them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import timedelta

from controlplane.core.actions import (
    ActionDetail,
    ActionRow,
    ActionType,
    NewAction,
    Page,
)
from controlplane.core.caching import CacheCheck
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
from controlplane.core.quotas import QuotaUsedUp
from controlplane.core.relations import Counterpart
from controlplane.feeds.feeds import Feeds
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.admit import Answer, Enqueue, Enqueued
from controlplane.store.dispatch.caching import Lookup
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.resources import actions as store, lists as store_lists
from controlplane.store.resources.runs import find_run
from controlplane.usecases.action_watches import ActionWatches
from controlplane.usecases.cache_checks import CacheChecks
from controlplane.usecases.recoveries import Recoveries
from shared.kit.batching import Batcher, OverfullError, StoppedError
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionId, ActionKey, ActionName, OrgName, RunId, RunKey
from shared.model.phases import TERMINAL
from shared.model.reports import ClusterEvent

MOST_IN_A_COMMIT = 500
SHARED_LOCK_TIMEOUT = timedelta(milliseconds=250)
"""Lock timeout of a batch with actions of many runs, which skips locked runs and queues."""
LOCK_TIMEOUT = timedelta(milliseconds=250)
LOCK_RETRY_INTERVAL = timedelta(milliseconds=250)
LOCK_TRIES = 20
"""Tries for a locked run's own batch: ten seconds in all, half of it without a connection."""
LOCK_WAITERS = 3
"""Most connections that wait for locked runs at once."""
MOST_WAITING = 20_000


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _LockedKey:
    """Key of enqueues that wait together for a lock: one run, one queue ("": the run's queue)."""

    org: OrgName
    run: RunKey
    queue: str


class Actions:
    """Use cases of actions, ``watches`` of many; ``enqueue`` waits until ``run`` commits it."""

    def __init__(
        self,
        database: Database,
        feeds: Feeds,
        clock: Clock,
        *,
        cache_checks: CacheChecks,
        recoveries: Recoveries,
        require_webhook: Callable[[str, str], None],
    ) -> None:
        """``require_webhook`` raises InvalidError for an address that is never sent to."""
        self._require_webhook = require_webhook
        self._cache_max_age = cache_checks.max_age
        self._database = database
        self._recoveries = recoveries
        self.watches = ActionWatches(database, feeds, recoveries)
        self._feeds = feeds
        self._clock = clock
        self._enqueues: Batcher[OrgName, Enqueue, Answer] = Batcher(
            self._commit,
            most=MOST_IN_A_COMMIT,
            most_waiting=MOST_WAITING,
            shared_fate=(UnavailableError,),
        )
        self._enqueues_of_locked: Batcher[_LockedKey, Enqueue, Answer] = Batcher(
            self._commit_locked,
            most=MOST_IN_A_COMMIT,
            most_waiting=MOST_WAITING,
            shared_fate=(UnavailableError,),
        )
        self._checks: Batcher[OrgName, Lookup, CacheCheck] = Batcher(
            cache_checks.check,
            most=MOST_IN_A_COMMIT,
            most_waiting=MOST_WAITING,
            shared_fate=(UnavailableError,),
        )
        self._lock_waiters = asyncio.Semaphore(LOCK_WAITERS)

    async def run(self) -> None:
        """Commit enqueue requests in batches, until cancelled."""
        async with asyncio.TaskGroup() as batchers:
            batchers.create_task(self._checks.run(), name="cache checks")
            batchers.create_task(self._enqueues.run(), name="enqueues")
            batchers.create_task(self._enqueues_of_locked.run(), name="enqueues of locked runs")

    async def enqueue(self, caller: Caller, new: NewAction) -> None:
        """
        Enqueue an action; idempotent for the same content.

        NotFoundError (run, parent), ConflictError (the parent has ended),
        AlreadyExistsError (same name, other content), UnavailableError.
        """
        caller.require(Permission.ACTION_ENQUEUE, new.key.run.project, new.key.run.domain)
        if new.condition is not None and new.condition.webhook:
            self._require_webhook(new.condition.webhook, "condition.webhook.url")
        if new.cache is not None:
            new = replace(new, cache=new.cache.with_default(self._cache_max_age))
        request = Enqueue(ActionId(new_uuid(self._clock.now())), new)
        try:
            if new.cache is not None:
                lookup = Lookup(id=request.id, run=new.key.run, request=new.cache)
                check = await self._checks.submit(caller.org, lookup)
                request = replace(request, cache_check=check)
            answer = await self._submit(caller.org, request)
            if isinstance(answer, Counterpart):
                checked = await self._recoveries.check(
                    caller.org, answer, has_outputs=new.spec.has_outputs
                )
                answer = await self._submit(caller.org, replace(request, checked=checked))
        except OverfullError as error:
            raise UnavailableError("too many actions are being enqueued; try again") from error
        except StoppedError as error:
            raise UnavailableError("this replica is stopping; try again") from error
        match answer:
            case Enqueued.CREATED | Enqueued.REPEATED:
                return
            case Enqueued.DIFFERENT:
                raise AlreadyExistsError(
                    f"action {new.key} exists with another task or other inputs, and is kept; "
                    "enqueue this one under another name"
                )
            case Enqueued.NO_RUN:
                raise NotFoundError("run", new.key.run)
            case Enqueued.NO_PARENT:
                raise NotFoundError("parent action", ActionKey(new.key.run, new.parent))
            case Enqueued.NO_QUEUE:
                raise QueueNotFoundError(new.queue)
            case Enqueued.QUEUE_FULL:
                raise ExhaustedError(
                    f"the queue of {new.key} is full; the SDK retries until the queue has capacity"
                )
            case QuotaUsedUp():
                # The SDK waits without a limit where a limit is exhausted; this one fails the action.
                raise ConflictError(str(answer.error(caller.org, self._clock.now())))
            case Enqueued.PARENT_ENDED:
                raise ConflictError(
                    f"parent action {new.key.run}/{new.parent} has ended; "
                    "it can have no more children"
                )
            case Enqueued.BUSY:
                raise _busy(new.key.run)
            case Counterpart():  # it has other outputs than before: no action that ended has
                raise UnavailableError(f"the action that {new.key} recovers changed; try again")

    async def abort(self, caller: Caller, action: ActionKey, reason: str) -> None:
        """Abort an action and its descendants; actions that have ended keep their phase."""
        caller.require(Permission.RUN_ABORT, action.run.project, action.run.domain)
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
                await self._detail(tx, run, action)  # NotFoundError unless it exists

    async def detail(self, caller: Caller, action: ActionKey) -> ActionDetail:
        """Return an action with its spec and attempts; NotFoundError."""
        caller.require(Permission.ACTION_READ, action.run.project, action.run.domain)
        async with self._database.for_org(caller.org) as tx:
            return await self._detail(tx, await self._run(tx, action.run), action)

    async def list(self, caller: Caller, run: RunKey, listing: Listing) -> Page:
        """List the actions of a run; NotFoundError."""
        caller.require(Permission.ACTION_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            return await store_lists.list_actions(tx, await self._run(tx, run), listing)

    async def watch_detail(
        self, caller: Caller, action: ActionKey, *, at_least_every: timedelta | None = None
    ) -> AsyncGenerator[ActionDetail, None]:
        """
        Yield the action now and after each change, until its terminal phase was yielded.

        ``at_least_every``: yield it at this interval even if nothing changed.
        """
        caller.require(Permission.ACTION_READ, action.run.project, action.run.domain)
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
                except TimeoutError:  # ``at_least_every`` passed
                    detail = await self._read_detail(caller, run, action)
                else:
                    detail = await refresh(self._database, caller.org, detail, offered)

    async def signal(
        self, caller: Caller, action: ActionKey, parent: ActionName | None, value: bytes
    ) -> None:
        """Signal a condition; NotReadyError when the action is none, or was signalled before."""
        caller.require(Permission.RUN_SIGNAL, action.run.project, action.run.domain)
        async with self._database.for_org(caller.org) as tx:
            run = await self._run(tx, action.run)
            detail = await self._detail(tx, run, action)
            if parent is not None and detail.row.parent != parent:
                raise NotFoundError("condition", f"{action} below {parent}")
            if detail.row.type is not ActionType.CONDITION:
                raise NotReadyError(f"action {action} is not a condition; only those take signals")
            signalled = await store.signal(
                tx, run, action.name, value=value, by=caller.subject, now=self._clock.now()
            )
            if not signalled:
                raise NotReadyError(
                    f"condition {action} has already ended ({detail.row.phase.name})"
                )

    async def cluster_events(
        self, caller: Caller, action: ActionKey, attempt: int
    ) -> AsyncIterator[Sequence[ClusterEvent]]:
        """Yield the cluster's events of one attempt as they arrive, until the action ends."""
        seen = 0
        async with aclosing(self.watch_detail(caller, action)) as details:
            async for detail in details:
                cluster_events = next(
                    (each.events for each in detail.attempts if each.number == attempt), ()
                )
                if len(cluster_events) > seen:
                    yield cluster_events[seen:]
                    seen = len(cluster_events)

    async def _submit(self, org: OrgName, request: Enqueue) -> Answer:
        """
        Enqueue in the org's batch, or in a batch per run if another transaction locks its rows.

        One locked run, queue or spec does not delay the enqueues of other runs.
        """
        locked_key = _LockedKey(org, request.action.key.run, request.action.queue)
        if locked_key not in self._enqueues_of_locked:
            answer = await self._enqueues.submit(org, request)
            if answer is not Enqueued.BUSY:
                return answer
        return await self._enqueues_of_locked.submit(locked_key, request)

    async def _commit(self, org: OrgName, requests: Sequence[Enqueue]) -> Sequence[Answer]:
        try:
            async with self._database.for_org(org, lock_timeout=SHARED_LOCK_TIMEOUT) as tx:
                return await enqueue(tx, requests, self._clock.now(), skip_locked=True)
        except BusyError:  # a lock that SKIP LOCKED does not cover: any request may be affected
            return [Enqueued.BUSY for _ in requests]

    async def _commit_locked(
        self, key: _LockedKey, requests: Sequence[Enqueue]
    ) -> Sequence[Answer]:
        """Retry a locked run's batch with short lock timeouts, which frees the connection between."""
        for attempt in range(LOCK_TRIES):
            if attempt:
                await self._clock.sleep(LOCK_RETRY_INTERVAL)
            try:
                async with (
                    self._lock_waiters,
                    self._database.for_org(key.org, lock_timeout=LOCK_TIMEOUT) as tx,
                ):
                    return await enqueue(tx, requests, self._clock.now())
            except BusyError:
                continue
        log.warning(
            "enqueue failed: run locked",
            extra={"org": key.org, "run": str(key.run), "waiting": len(requests)},
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


async def refresh(
    database: Database, org: OrgName, detail: ActionDetail, offered: Sequence[ActionRow]
) -> ActionDetail:
    """
    Return a watched action's details after the changes that its feed offered, oldest first.

    The feed has read the row for all watchers, and a spec is immutable: only a task's attempts
    are read, and nothing if the change is already included.
    """
    row = offered[-1]
    if row.change <= detail.row.change:
        return detail
    if row.type is not ActionType.TASK:
        return replace(detail, row=row)
    async with database.for_org(org) as tx:
        return replace(detail, row=row, attempts=await store.list_attempts(tx, row.id))
