"""Prometheus metrics of the pools of connections to Postgres."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class DatabaseMetrics(Collector):
    """Counts of all pools; ``registry`` is None where nothing reads them."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._engines: dict[str, AsyncEngine] = {}
        self._waits = Histogram(
            "volary_db_connection_wait_seconds",
            "How long transactions waited for a connection of the pool.",
            ["pool"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._transactions = Histogram(
            "volary_db_transaction_seconds",
            "How long transactions had their connection, until the end of COMMIT or ROLLBACK.",
            ["pool"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "volary_db_errors",
            "Transactions that ended with an error of the database, by kind: lock_timeout,"
            " pool_timeout (all connections were in use), unavailable, other.",
            ["pool", "kind"],
            registry=registry,
        )
        if registry is not None:
            registry.register(self)

    def of_pool(self, name: str, engine: AsyncEngine) -> "PoolMetrics":
        """Return the metrics of one pool, whose connections are counted at each scrape."""
        self._engines[name] = engine
        errors = {
            kind: self._errors.labels(name, kind)
            for kind in ("lock_timeout", "pool_timeout", "unavailable", "other")
        }
        return PoolMetrics(
            wait=self._waits.labels(name),
            transaction=self._transactions.labels(name),
            errors=errors,
        )

    def collect(self) -> Iterable[Metric]:
        connections = GaugeMetricFamily(
            "volary_db_connections",
            "Connections of a pool: used by a transaction, idle, and the most it may open.",
            labels=["pool", "state"],
        )
        for name, engine in self._engines.items():
            pool = engine.pool
            if isinstance(pool, QueuePool):
                connections.add_metric([name, "used"], pool.checkedout())
                connections.add_metric([name, "idle"], pool.checkedin())
                connections.add_metric([name, "most"], pool.size())
        yield connections


@dataclass(frozen=True, slots=True)
class PoolMetrics:
    wait: Histogram
    transaction: Histogram
    errors: dict[str, Counter] = field(repr=False)
