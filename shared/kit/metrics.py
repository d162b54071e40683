"""Prometheus metrics that are read from other objects at each scrape."""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class ReadCounter(Collector):
    """A counter without labels whose value ``read`` returns; the library has only such gauges."""

    def __init__(
        self, name: str, description: str, read: Callable[[], float], *, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._description = description
        self._read = read
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._description, value=self._read())


def certificate_metrics(
    registry: CollectorRegistry,
    prefix: str,
    whose: str,
    *,
    read_expiry: Callable[[], datetime],
    read_failed_reloads: Callable[[], int],
) -> None:
    """Register the metrics of a certificate that is read again when its files change."""
    Gauge(
        f"{prefix}_certificate_expiry_timestamp_seconds",
        f"When the certificate of the {whose} expires.",
        registry=registry,
    ).set_function(lambda: read_expiry().timestamp())
    ReadCounter(
        f"{prefix}_certificate_failed_reloads",
        f"New certificates of the {whose} that could not be used.",
        read_failed_reloads,
        registry=registry,
    )
