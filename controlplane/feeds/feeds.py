"""One reader per watched run and replica, and the bells of those who wait for work."""

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
)
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import Counter

from controlplane.core.errors import UnavailableError
from controlplane.core.relays import RelayId
from controlplane.feeds.subscriptions import ChangeSubscription, RunsSubscription
from controlplane.store import actions as store
from controlplane.store.changes import Notice
from controlplane.store.database import Database
from controlplane.store.runs import get_change
from shared.kit.admission import AdmissionLimiter
from shared.kit.waking import Bell
from shared.model.ids import ActionName, ClusterName, OrgName, RunId

log = logging.getLogger(__name__)

FAILED_READS = Counter(
    "volary_feed_failures",
    "Reads of a run's changes, and of notifications, that failed and were repeated later.",
    ["what"],
    registry=None,  # ``main`` registers it
)

OPENINGS_AT_ONCE = 4
OPENING_SECONDS = 2.0  # a watcher that takes its snapshot more slowly holds up no other
MOST_OPENINGS_WAITING = 5_000

_PAGE = 1_000
_READERS = 4  # transactions at once; a run is read by one at a time
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)

Run = tuple[OrgName, RunId]
Bells = dict[Bell, None]
"""A set that keeps its order: who has waited longest hears first."""
Cluster = tuple[OrgName, ClusterName]
Key = TypeVar("Key")
Takes = Callable[[Collection[str]], bool]
"""Whether work in one of these pools (or in ``ANY_POOL``) is for the one who waits."""


@dataclass(eq=False, slots=True)
class _Watched:
    """A run somebody watches: read up to ``cursor``, and by whom it is wanted."""

    cursor: int
    subscriptions: set[ChangeSubscription] = field(default_factory=set)
    failed: int = 0  # reads in a row
    retry_at: float = 0.0  # by the event loop's time; not read before


def _takes_any(_: Collection[str]) -> bool:
    return True


class Feeds:
    """
    Give each watcher what changed.

    ``notices`` is :func:`controlplane.store.notices.listen`. A notice marks runs as dirty;
    dirty runs that are watched are read past their cursor and offered to the watchers.
    ``callers``: the pool for what an opening watch reads, if not the one that changes are
    read through.
    """

    def __init__(
        self,
        database: Database,
        notices: Callable[[], AsyncGenerator[Notice | None, None]],
        *,
        callers: Database | None = None,
    ) -> None:
        self._database = database
        self._callers = callers or database
        self._admission = AdmissionLimiter(OPENINGS_AT_ONCE, hold_at_most=OPENING_SECONDS)
        self._notices = notices
        self._watched: dict[Run, _Watched] = {}
        self._dirty: dict[Run, None] = {}  # a set that keeps its order
        self._busy: set[Run] = set()  # being read
        self._read_bell = asyncio.Event()
        self._orgs: defaultdict[OrgName, set[RunsSubscription]] = defaultdict(set)
        self._work: defaultdict[OrgName, dict[Bell, Takes]] = defaultdict(dict)
        self._stops: defaultdict[Cluster, Bells] = defaultdict(dict)
        self._calls: defaultdict[Cluster, Bells] = defaultdict(dict)
        self._relays: defaultdict[RelayId, Bells] = defaultdict(dict)
        self._cascades: defaultdict[None, Bells] = defaultdict(dict)

    async def run(self) -> None:
        """Listen and read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="feeds-listen")
            for number in range(_READERS):
                tasks.create_task(self._read(), name=f"feeds-read-{number}")

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[Callable[[], None]]:
        """
        Wait for the turn to open a watch; call what is yielded once the snapshot was shown.

        A replica that dies sends all its watchers to another at once, and each reads a whole
        snapshot: side by side they would keep the event loop and the pool from all else.
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
        """Subscribe before reading a snapshot: what is committed from now on is offered."""
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
        """Subscribe to which of an org's runs change."""
        subscription = RunsSubscription()
        self._orgs[org].add(subscription)
        try:
            yield subscription
        finally:
            self._orgs[org].discard(subscription)

    @contextmanager
    def work(
        self, org: OrgName, cluster: ClusterName, bell: Bell, takes: Takes = _takes_any
    ) -> Iterator[None]:
        """
        Ring ``bell`` when something may be leased in pools that ``takes`` accepts, or is wanted
        stopped on ``cluster``.
        """
        waiters = self._work[org]
        waiters[bell] = takes
        try:
            with _hung(self._stops, (org, cluster), bell):
                yield
        finally:
            del waiters[bell]
            if not waiters and self._work.get(org) is waiters:
                del self._work[org]

    def calls(self, org: OrgName, cluster: ClusterName, bell: Bell) -> AbstractContextManager[None]:
        """Ring ``bell`` when another replica calls the cluster's agent."""
        return _hung(self._calls, (org, cluster), bell)

    def relay(self, relay: RelayId, bell: Bell) -> AbstractContextManager[None]:
        """Ring ``bell`` when there is news on a relayed call."""
        return _hung(self._relays, relay, bell)

    def cascades(self, bell: Bell) -> AbstractContextManager[None]:
        """Ring ``bell`` when an action ended with more below it than ended with it."""
        return _hung(self._cascades, None, bell)

    async def _listen(self) -> None:
        failed = 0
        while True:
            try:
                async with aclosing(self._notices()) as notices:
                    async for notice in notices:
                        failed = 0
                        self._receive(notice)
            except Exception:
                FAILED_READS.labels("notifications").inc()
                log.exception("listening for notifications failed", extra={"in_a_row": failed + 1})
            await asyncio.sleep(_backoff(failed))
            failed += 1

    def _receive(self, notice: Notice | None) -> None:
        if notice is None:
            self._everything_may_have_changed()
        else:
            self._hear(notice)

    def _hear(self, notice: Notice) -> None:
        if notice.every_run:
            self._mark([key for key in self._watched if key[0] == notice.org])
        else:
            self._mark([(notice.org, run) for run in notice.runs])
        for subscription in self._orgs.get(notice.org, ()):
            for run in [None] if notice.every_run else notice.runs:
                subscription.offer(run)
        if notice.work:
            for bell, takes in self._work.get(notice.org, {}).items():
                if takes(notice.work):
                    bell.ring()
        for cluster in notice.stops:
            _ring(self._stops, (notice.org, ClusterName(cluster)))
        for cluster in notice.called:
            _ring(self._calls, (notice.org, ClusterName(cluster)))
        for relay in notice.relays:
            _ring(self._relays, relay)
        if notice.cascades:
            _ring(self._cascades, None)

    def _everything_may_have_changed(self) -> None:
        for watched in self._watched.values():
            watched.retry_at = 0.0  # Postgres is back
        self._mark(list(self._watched))
        for subscriptions in self._orgs.values():
            for subscription in subscriptions:
                subscription.offer(None)
        for waiters in self._work.values():
            for bell in waiters:
                bell.ring()
        for cluster in list(self._calls):
            _ring(self._calls, cluster)
        for relay in list(self._relays):
            _ring(self._relays, relay)
        _ring(self._cascades, None)

    def _mark(self, runs: list[Run]) -> None:
        for run in runs:
            if run in self._watched:
                self._dirty[run] = None
        if self._dirty:
            self._read_bell.set()

    async def _read(self) -> None:
        while True:
            key, pause = self._next_run()
            if key is None:
                self._read_bell.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._read_bell.wait()
                continue
            del self._dirty[key]
            self._busy.add(key)
            try:
                await self._read_run(key)
            except UnavailableError as error:
                log.warning("could not read a run's changes", extra={"error": str(error)})
                self._retry_later(key)
            except Exception:
                log.exception("reading a run's changes failed", extra={"run": key[1]})
                self._retry_later(key)
            finally:
                self._busy.discard(key)
                self._read_bell.set()

    def _next_run(self) -> tuple[Run | None, float | None]:
        """Return a run to read now; if there is none, in how many seconds one is to be retried."""
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
        """Mark a run as dirty again; no reader waits for it, so that other runs are read."""
        FAILED_READS.labels("changes").inc()
        watched = self._watched.get(key)
        if watched is not None:
            watched.retry_at = asyncio.get_running_loop().time() + _backoff(watched.failed)
            watched.failed += 1
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


def _backoff(failed: int) -> float:
    return _BACKOFF_SECONDS[min(failed, len(_BACKOFF_SECONDS) - 1)]


@contextmanager
def _hung(bells: dict[Key, Bells], key: Key, bell: Bell) -> Iterator[None]:
    """Hang a bell under a key for the length of a block."""
    bells[key][bell] = None
    try:
        yield
    finally:
        bells[key].pop(bell, None)
        if not bells[key]:
            del bells[key]


def _ring(bells: Mapping[Key, Iterable[Bell]], key: Key) -> None:
    for bell in bells.get(key, ()):
        bell.ring()
