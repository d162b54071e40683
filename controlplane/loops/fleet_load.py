"""Reads the load of all orgs periodically, and exposes the latest reading as metrics."""

from collections.abc import Iterable
from datetime import timedelta

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.core.fleet_load import FleetLoad, bounded
from controlplane.loops.periodic import run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.fleet_load import read_load
from shared.kit.clock import Clock

EVERY = timedelta(seconds=15)
"""Prometheus' usual interval between scrapes is as long or longer."""


class FleetLoadReader:
    """Loop that reads the load; each replica reads all of it, so take the maximum over them."""

    def __init__(self, database: Database, clock: Clock, registry: CollectorRegistry) -> None:
        self._database = database
        self._clock = clock
        self._metrics = FleetLoadMetrics(registry)

    async def run(self) -> None:
        await run_periodically("fleet load", self.run_once, every=EVERY, clock=self._clock)

    async def run_once(self) -> None:
        now = self._clock.now()
        async with self._database.for_fleet("read the load of all orgs") as tx:
            load = await read_load(tx, now)
        self._metrics.show(bounded(load), read_at=now.timestamp())


class FleetLoadMetrics(Collector):
    """The latest reading; series of pools and orgs that are no longer in it are gone with it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._load = FleetLoad()
        self._read_at = 0.0
        registry.register(self)

    def show(self, load: FleetLoad, *, read_at: float) -> None:
        """Replace the reading; ``read_at`` is in seconds since 1970."""
        self._load, self._read_at = load, read_at

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "volary_load_read_timestamp_seconds",
            "When this replica last read the load of all orgs, which the other volary_load metrics"
            " show; 0: never.",
            value=self._read_at,
        )
        yield from self._work()
        yield from self._leases()
        yield from self._database_and_notifications()

    def _work(self) -> Iterable[Metric]:
        load = self._load
        waiting = GaugeMetricFamily(
            "volary_load_pool_waiting_actions",
            "Actions that wait for a cluster of a pool: the fifty pools in which one has waited"
            " longest, and all others as one.",
            labels=["org", "pool"],
        )
        oldest = GaugeMetricFamily(
            "volary_load_pool_oldest_waiting_seconds",
            "How long the oldest of them has waited since it could have been leased.",
            labels=["org", "pool"],
        )
        for pool in load.pools:
            waiting.add_metric([pool.org, pool.pool], pool.waiting)
            oldest.add_metric([pool.org, pool.pool], pool.oldest.total_seconds())
        yield waiting
        yield oldest
        actions = GaugeMetricFamily(
            "volary_load_org_actions",
            "Actions of an org that wait or are leased to a cluster: the twenty orgs with the most,"
            " and all others as one. Its integral over time is the org's usage in action-seconds.",
            labels=["org", "state"],
        )
        for org in load.orgs:
            actions.add_metric([org.org, "waiting"], org.waiting)
            actions.add_metric([org.org, "leased"], org.leased)
        yield actions

    def _leases(self) -> Iterable[Metric]:
        leases = self._load.leases
        count = GaugeMetricFamily(
            "volary_load_leases",
            "Leases of all clusters, by state; a lease that is stopping or missing is accepted too.",
            labels=["state"],
        )
        count.add_metric(["unaccepted"], leases.unaccepted)
        count.add_metric(["accepted"], leases.accepted)
        count.add_metric(["stopping"], leases.stopping)
        count.add_metric(["missing"], leases.missing)
        yield count
        age = GaugeMetricFamily(
            "volary_load_oldest_lease_seconds",
            "Age of the oldest lease, of the oldest that no agent has accepted yet, and the time"
            " since the longest silent cluster with leases renewed them by a heartbeat.",
            labels=["of"],
        )
        age.add_metric(["all"], leases.oldest.total_seconds())
        age.add_metric(["unaccepted"], leases.oldest_unaccepted.total_seconds())
        age.add_metric(["renewal"], leases.oldest_renewal.total_seconds())
        yield age
        clusters = GaugeMetricFamily(
            "volary_load_clusters",
            "Clusters that are connected, and those with leases that are not.",
            labels=["state"],
        )
        clusters.add_metric(["connected"], self._load.connected_clusters)
        clusters.add_metric(["silent"], self._load.silent_clusters)
        yield clusters

    def _database_and_notifications(self) -> Iterable[Metric]:
        backlog = self._load.backlog
        notifications = GaugeMetricFamily(
            "volary_load_notifications",
            "Phases for which no notification was made yet, and notifications that wait to be sent.",
            labels=["state"],
        )
        notifications.add_metric(["event"], backlog.events)
        notifications.add_metric(["delivery"], backlog.deliveries)
        yield notifications
        yield GaugeMetricFamily(
            "volary_load_notification_overdue_seconds",
            "How long the notification that is due first has been due.",
            value=backlog.oldest_due.total_seconds(),
        )
        yield GaugeMetricFamily(
            "volary_load_lock_waiters",
            "Transactions that wait for a lock in Postgres.",
            value=self._load.lock_waiters,
        )
        yield GaugeMetricFamily(
            "volary_load_lock_wait_seconds",
            "How long the first of them has waited.",
            value=self._load.longest_lock_wait.total_seconds(),
        )
