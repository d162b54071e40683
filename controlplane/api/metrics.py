"""Prometheus metrics of the public API."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class CallMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "volary_api_calls",
            "Calls that ended, by RPC and code: ok, or Connect's error code.",
            ["rpc", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "volary_api_call_seconds",
            "How long unary calls took.",
            ["rpc"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._streams = Gauge(
            "volary_api_streams", "Streams that are open.", ["rpc"], registry=registry
        )
        self.in_flight = Gauge(
            "volary_api_calls_in_flight", "Unary calls that are being answered.", registry=registry
        )
        # Cached for each pair: ``labels`` takes a lock and makes strings.
        self._ended_by: dict[tuple[str, str], Counter] = {}
        self._seconds_by: dict[str, Histogram] = {}

    def ended(self, rpc: str, code: str, seconds: float | None) -> None:
        """Count a call; ``seconds`` is None for a stream, whose duration is not observed."""
        counter = self._ended_by.get((rpc, code))
        if counter is None:
            counter = self._ended_by[rpc, code] = self._ended.labels(rpc, code)
        counter.inc()
        if seconds is not None:
            histogram = self._seconds_by.get(rpc)
            if histogram is None:
                histogram = self._seconds_by[rpc] = self._seconds.labels(rpc)
            histogram.observe(seconds)

    def streams(self, rpc: str) -> Gauge:
        return self._streams.labels(rpc)
