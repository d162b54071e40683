"""The agent's metrics of the API proxy, as Prometheus reads them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from dataplane.agent.main.metrics import proxy_metrics
from dataplane.agent.proxy.errors import Code
from dataplane.agent.proxy.metrics import Counts


class _Collector(Collector):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        return proxy_metrics(self._counts)


def test_proxy_metrics_count_calls_refusals_signed_urls_and_open_streams() -> None:
    counts = Counts()
    registry = CollectorRegistry()
    registry.register(_Collector(counts))
    counts.passed("RunService/WatchRuns")
    counts.refused("", Code.UNAUTHENTICATED)
    counts.links["get"] += 2
    with counts.calling("RunService/GetRun"):
        assert counts.in_flight == 1
    with counts.streaming():
        lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#") and "_sum" not in line] == [
        'volary_agent_proxy_calls_total{rpc="RunService/WatchRuns"} 1.0',
        'volary_agent_proxy_refusals_total{code="unauthenticated",rpc=""} 1.0',
        'volary_agent_proxy_call_seconds_count{rpc="RunService/GetRun"} 1.0',
        'volary_agent_proxy_signer_requests_total{verb="get"} 2.0',
        "volary_agent_proxy_streams 1.0",
        "volary_agent_proxy_calls_in_flight 0.0",
    ]
