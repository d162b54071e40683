"""Reads changes of watched runs once per replica, and wakes the waiters for work and calls."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from prometheus_client import Counter

from controlplane.core.callers import Subject
from controlplane.core.errors import UnavailableError
from controlplane.core.forwarded_calls import ForwardedCallId
from controlplane.feeds.subscriptions import ChangeSubscription, RunsSubscription
from controlplane.store.database import Database
from controlplane.store.notify.changes import Notification
from controlplane.store.resources import actions as store
from controlplane.store.resources.runs import get_change
from shared.kit.admission import AdmissionLimiter
from shared.kit.backoff import Backoff
from shared.kit.wakeup import Wakeup
from shared.model.ids import ActionName, ClusterName, OrgName, RunId

log = logging.getLogger(__name__)

FAILED_READS = Counter(
    "volary_feed_failures",
    "Reads of a run's changes, and of notifications, that failed and were repeated later.",
    ["what"],
    registry=None,  # ``main`` registers it
)

OPENINGS_AT_ONCE = 4
OPENING_SECONDS = 2.0  # a watcher that reads its snapshot more slowly frees its slot
MOST_OPENINGS_WAITING = 5_000

_PAGE = 1_000
_READERS = 4  # concurrent transactions; a run is read by one at a time
_BACKOFF = Backoff(first=timedelta(seconds=0.5), at_most=timedelta(seconds=5), jitter=0.5)

Run = tuple[OrgName, RunId]
Wakeups = dict[Wakeup, None]
"""An ordered set: the longest waiter is notified first."""
Cluster = tuple[OrgName, ClusterName]
Key = TypeVar("Key")
Takes = Callable[[Collection[str]], bool]
"""Returns whether the waiter takes work from one of these pools (or from ``ANY_POOL``)."""
GrantListener = Callable[[OrgName | None, Sequence[Subject] | None], None]
"""Receives whose grants changed: subjects of an org; None: anyone's."""


@dataclass(eq=False, slots=True)
class _Watched:
    """A watched run: the cursor up to which it was read, and its subscriptions."""

    cursor: int
    subscriptions: set[ChangeSubscription] = field(default_factory=set)
    failed: int = 0  # consecutive failed reads
    retry_at: float = 0.0  # event loop time before which it is not read


def _takes_any(_: Collection[str]) -> bool:
    return True


class Feeds:
    """
    Deliver changes to watchers and notifications to waiters.

    ``notifications`` is :func:`controlplane.store.notify.notifications.listen`. A notification
    marks runs as dirty; dirty runs that are watched are read past their cursor, and the rows are
    offered to their subscriptions. ``callers`` is the connection pool for the reads of an opening
    watch; by default the pool that changes are read through.
    """

    def __init__(
        self,
        database: Database,
        notifications: Callable[[], AsyncGenerator[Notification | None, None]],
        *,
        callers: Database | None = None,
    ) -> None:
        self._database = database
        self._callers = callers or database
        self._admission = AdmissionLimiter(OPENINGS_AT_ONCE, hold_at_most=OPENING_SECONDS)
        self._notifications = notifications
        self._watched: dict[Run, _Watched] = {}
        self._dirty: dict[Run, None] = {}  # an ordered set
        self._busy: set[Run] = set()  # being read
        self._reader_wakeup = asyncio.Event()
        self._orgs: defaultdict[OrgName, set[RunsSubscription]] = defaultdict(set)
        self._work: defaultdict[OrgName, dict[Wakeup, Takes]] = defaultdict(dict)
        self._stops: defaultdict[Cluster, Wakeups] = defaultdict(dict)
        self._calls: defaultdict[Cluster, Wakeups] = defaultdict(dict)
        self._forwarded: defaultdict[ForwardedCallId, Wakeups] = defaultdict(dict)
        self._cascades: defaultdict[None, Wakeups] = defaultdict(dict)
        self._reservations: defaultdict[None, Wakeups] = defaultdict(dict)
        self._revocations: defaultdict[None, Wakeups] = defaultdict(dict)
        self._signing_keys: defaultdict[None, Wakeups] = defaultdict(dict)
        self._triggers: defaultdict[None, Wakeups] = defaultdict(dict)
        self._grant_listeners: dict[GrantListener, None] = {}

    async def run(self) -> None:
        """Listen for notifications and read changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="feeds-listen")
            for number in range(_READERS):
                tasks.create_task(self._read(), name=f"feeds-read-{number}")

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[Callable[[], None]]:
        """
        Wait for admission to open a watch; call the yielded function once the snapshot was sent.

        When a replica dies all its watchers reconnect to another at once, and each reads a whole
        snapshot: without a limit they would starve the event loop and the connection pool.
        UnavailableError when too many wait.
        """
        if self._admission.waiting >= MOST_OPENINGS_WAITING:
            raise UnavailableError("too many watches are being opened at once; try again")
        async with self._admission.admitted() as opened:
            yield opened

    @asynccontextmanager
    async def changes(
        self,
        org: OrgName,
        run: RunId,
        *,
        parent: ActionName | None = None,
        name: ActionName | None = None,
    ) -> AsyncIterator[ChangeSubscription]:
        """
        Subscribe to changes of a run's actions.

        Subscribe before reading a snapshot: every change committed from now on is offered.
        """
        subscription = ChangeSubscription(parent=parent, name=name)
        key = (org, run)
        if key not in self._watched:
            async with self._callers.for_org(org) as tx:
                cursor = await get_change(tx, run)
            self._watched.setdefault(key, _Watched(cursor))
        watched = self._watched[key]
        watched.subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            watched.subscriptions.discard(subscription)
            if not watched.subscriptions and self._watched.get(key) is watched:
                del self._watched[key]

    @contextmanager
    def runs(self, org: OrgName) -> Iterator[RunsSubscription]:
        """Subscribe to the ids of an org's runs that change."""
        subscription = RunsSubscription()
        self._orgs[org].add(subscription)
        try:
            yield subscription
        finally:
            self._orgs[org].discard(subscription)

    @contextmanager
    def work(
        self, org: OrgName, cluster: ClusterName, wakeup: Wakeup, takes: Takes = _takes_any
    ) -> Iterator[None]:
        """Wake ``wakeup`` on work in pools that ``takes`` accepts, and on stops on ``cluster``."""
        waiters = self._work[org]
        waiters[wakeup] = takes
        try:
            with _registered(self._stops, (org, cluster), wakeup):
                yield
        finally:
            del waiters[wakeup]
            if not waiters and self._work.get(org) is waiters:
                del self._work[org]

    def calls(
        self, org: OrgName, cluster: ClusterName, wakeup: Wakeup
    ) -> AbstractContextManager[None]:
        """Wake ``wakeup`` when another replica calls the cluster's agent."""
        return _registered(self._calls, (org, cluster), wakeup)

    def forwarded_call(
        self, forwarded_call: ForwardedCallId, wakeup: Wakeup
    ) -> AbstractContextManager[None]:
        """Wake ``wakeup`` when a forwarded call was claimed, answered or ended."""
        return _registered(self._forwarded, forwarded_call, wakeup)

    def cascades(self, wakeup: Wakeup) -> AbstractContextManager[None]:
        """Wake ``wakeup`` when an action left a marker for descendants that are still to end."""
        return _registered(self._cascades, None, wakeup)

    def reservations(self, wakeup: Wakeup) -> AbstractContextManager[None]:
        """Wake ``wakeup`` when a reservation of the result cache ended that actions wait for."""
        return _registered(self._reservations, None, wakeup)

    def revocations(self, wakeup: Wakeup) -> AbstractContextManager[None]:
        """Wake ``wakeup`` when a credential was revoked."""
        return _registered(self._revocations, None, wakeup)

    def signing_keys(self, wakeup: Wakeup) -> AbstractContextManager[None]:
        """Wake ``wakeup`` when signing keys were added or withdrawn."""
        return _registered(self._signing_keys, None, wakeup)

    def triggers(self, wakeup: Wakeup) -> AbstractContextManager[None]:
        """Register a wakeup that is notified when triggers were deployed, changed or deleted."""
        return _registered(self._triggers, None, wakeup)

    @contextmanager
    def grants(self, listener: GrantListener) -> Iterator[None]:
        """Call ``listener`` when grants changed, for the duration of a block."""
        self._grant_listeners[listener] = None
        try:
            yield
        finally:
            del self._grant_listeners[listener]

    async def _listen(self) -> None:
        failed = 0
        while True:
            try:
                async with aclosing(self._notifications()) as notifications:
                    async for notification in notifications:
                        failed = 0
                        self._receive(notification)
            except Exception:
                FAILED_READS.labels("notifications").inc()
                log.exception("notification listener failed", extra={"in_a_row": failed + 1})
            failed += 1
            await asyncio.sleep(_BACKOFF.delay(failed).total_seconds())

    def _receive(self, notification: Notification | None) -> None:
        if notification is None:
            self._mark_everything_changed()
        else:
            self._deliver(notification)

    def _deliver(self, notification: Notification) -> None:
        if notification.every_run:
            self._mark([key for key in self._watched if key[0] == notification.org])
        else:
            self._mark([(notification.org, run) for run in notification.runs])
        for subscription in self._orgs.get(notification.org, ()):
            for run in [None] if notification.every_run else notification.runs:
                subscription.offer(run)
        if notification.work:
            for wakeup, takes in self._work.get(notification.org, {}).items():
                if takes(notification.work):
                    wakeup.wake()
        for cluster in notification.stops:
            _wake(self._stops, (notification.org, ClusterName(cluster)))
        for cluster in notification.called:
            _wake(self._calls, (notification.org, ClusterName(cluster)))
        for forwarded_call in notification.relays:
            _wake(self._forwarded, forwarded_call)
        if notification.cascades:
            _wake(self._cascades, None)
        if notification.reservations:
            _wake(self._reservations, None)
        if notification.revoked:
            _wake(self._revocations, None)
        if notification.signing_keys:
            _wake(self._signing_keys, None)
        if notification.triggers:
            _wake(self._triggers, None)
        if notification.grants is None or notification.grants:
            for listener in self._grant_listeners:
                listener(notification.org, notification.grants)

    def _mark_everything_changed(self) -> None:
        """Read every watched run and wake every waiter: notifications may have been lost."""
        for watched in self._watched.values():
            watched.retry_at = 0.0  # Postgres is reachable again, so retry at once
        self._mark(list(self._watched))
        for subscriptions in self._orgs.values():
            for subscription in subscriptions:
                subscription.offer(None)
        for waiters in self._work.values():
            for wakeup in waiters:
                wakeup.wake()
        for cluster in list(self._calls):
            _wake(self._calls, cluster)
        for forwarded_call in list(self._forwarded):
            _wake(self._forwarded, forwarded_call)
        for waiting in (
            self._cascades,
            self._reservations,
            self._revocations,
            self._signing_keys,
            self._triggers,
        ):
            _wake(waiting, None)
        for listener in self._grant_listeners:
            listener(None, None)

    def _mark(self, runs: list[Run]) -> None:
        for run in runs:
            if run in self._watched:
                self._dirty[run] = None
        if self._dirty:
            self._reader_wakeup.set()

    async def _read(self) -> None:
        while True:
            key, pause = self._next_run()
            if key is None:
                self._reader_wakeup.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._reader_wakeup.wait()
                continue
            del self._dirty[key]
            self._busy.add(key)
            try:
                await self._read_run(key)
            except UnavailableError as error:
                log.warning("run changes unavailable", extra={"run": key[1], "error": str(error)})
                self._retry_later(key)
            except Exception:
                log.exception("run changes read failed", extra={"run": key[1]})
                self._retry_later(key)
            finally:
                self._busy.discard(key)
                self._reader_wakeup.set()

    def _next_run(self) -> tuple[Run | None, float | None]:
        """Return a run to read now, or the seconds until the next retry (None: no retry)."""
        now = asyncio.get_running_loop().time()
        pause: float | None = None
        for run in self._dirty:
            if run in self._busy:
                continue
            watched = self._watched.get(run)
            wait = 0.0 if watched is None else watched.retry_at - now
            if wait <= 0:
                return run, None
            pause = wait if pause is None else min(pause, wait)
        return None, pause

    def _retry_later(self, key: Run) -> None:
        """Mark a run as dirty again after a backoff, during which readers serve other runs."""
        FAILED_READS.labels("changes").inc()
        watched = self._watched.get(key)
        if watched is not None:
            watched.failed += 1
            delay = _BACKOFF.delay(watched.failed).total_seconds()
            watched.retry_at = asyncio.get_running_loop().time() + delay
            self._dirty[key] = None

    async def _read_run(self, key: Run) -> None:
        org, run = key
        more = True
        while more and (watched := self._watched.get(key)) is not None:
            async with self._database.for_org(org) as tx:
                rows = await store.list_changed(tx, run, after=watched.cursor, most=_PAGE)
            for row in rows:
                watched.cursor = max(watched.cursor, row.change)
                for subscription in watched.subscriptions:
                    subscription.offer(row)
            watched.failed = 0
            more = len(rows) == _PAGE


@contextmanager
def _registered(wakeups: dict[Key, Wakeups], key: Key, wakeup: Wakeup) -> Iterator[None]:
    """Register a wakeup under a key for the duration of a block."""
    wakeups[key][wakeup] = None
    try:
        yield
    finally:
        wakeups[key].pop(wakeup, None)
        if not wakeups[key]:
            del wakeups[key]


def _wake(wakeups: Mapping[Key, Iterable[Wakeup]], key: Key) -> None:
    for wakeup in wakeups.get(key, ()):
        wakeup.wake()
