"""Builds the registry of the control plane's Prometheus metrics. A part of ``main``."""

import asyncio
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.api.request_rates import REFUSED as REFUSED_REQUESTS
from controlplane.feeds.feeds import FAILED_READS
from controlplane.loops.event_loop import LAG as EVENT_LOOP_LAG, measure_lag
from controlplane.loops.fleet_load import FleetLoadReader
from controlplane.loops.periodic import FAILED_PASSES, INTERVAL, LAST_PASS, PASSES
from controlplane.loops.triggers import INSTANTS, LAG
from controlplane.loops.usage import METERED
from controlplane.store.database import Database
from controlplane.usecases.artifact_triggers import FIRINGS, LAG as ARTIFACT_LAG
from controlplane.usecases.cache_checks import LOOKUPS
from controlplane.usecases.deliveries import TRIES
from shared.kit.clock import Clock
from shared.traces.spans import SpanRecorder

_OF_MODULES: tuple[Collector, ...] = (
    ARTIFACT_LAG,
    EVENT_LOOP_LAG,
    FAILED_PASSES,
    FAILED_READS,
    FIRINGS,
    INSTANTS,
    INTERVAL,
    LAG,
    LAST_PASS,
    LOOKUPS,
    METERED,
    PASSES,
    REFUSED_REQUESTS,
    TRIES,
)


def make_registry(
    spans: SpanRecorder, registry: CollectorRegistry | None = None
) -> CollectorRegistry:
    """Return a registry, a new one unless given, with what is counted once in each process."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all series
    registry = registry or CollectorRegistry()
    for metric in _OF_MODULES:
        registry.register(metric)
    ProcessCollector(registry=registry)
    registry.register(_SpanCounts(spans))
    Gauge(
        "volary_build_info",
        "1; the release of this replica is its label.",
        ["version"],
        registry=registry,
    ).labels(version("volary")).set(1)
    return registry


class _SpanCounts(Collector):
    def __init__(self, spans: SpanRecorder) -> None:
        self._spans = spans

    def collect(self) -> Iterable[Metric]:
        counts = CounterMetricFamily(
            "volary_trace_spans",
            "Spans, by result: sent, failed (the collector took none), dropped (too many waited).",
            labels=["result"],
        )
        for result in ("sent", "failed", "dropped"):
            counts.add_metric([result], self._spans.counts.get(result, 0))
        yield counts


async def run_readers(database: Database, clock: Clock, registry: CollectorRegistry) -> None:
    """Read what is not counted where it happens, until cancelled."""
    load = FleetLoadReader(database, clock, registry)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run(), name="fleet load")
        tasks.create_task(measure_lag(), name="event loop lag")
