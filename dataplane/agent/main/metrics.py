"""Prometheus metrics of a Kubernetes agent, collected at each scrape."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.election import Election
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import Kind
from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.connection import listen
from dataplane.agent.proxy.metrics import Counts
from dataplane.agent.proxy.server import ApiProxy
from shared.kit.connections import Connections


class Metrics(Collector):
    def __init__(
        self,
        kube: Kube,
        informers: Mapping[Kind, Informer],
        events: Events,
        proxy: ApiProxy,
        election: Election,
    ) -> None:
        self._kube = kube
        self._informers = informers
        self._events = events
        self._proxy = proxy
        self._election = election
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the current values in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        leads = GaugeMetricFamily("volary_agent_leads", "Whether this replica leads")
        leads.add_metric([], float(self._election.leads))
        yield leads
        requests = CounterMetricFamily(
            "volary_agent_kube_requests",
            "Requests to the API server; code 0: no answer",
            labels=["verb", "resource", "code"],
        )
        for (verb, resource, code), count in self._kube.requests.items():
            requests.add_metric([verb, resource, str(code)], count)
        yield requests
        yield from self._informer_metrics()
        yield from proxy_metrics(self._proxy.counts)

    def _informer_metrics(self) -> Iterable[Metric]:
        objects = GaugeMetricFamily(
            "volary_agent_informer_objects", "Objects in memory", labels=["resource"]
        )
        failures = CounterMetricFamily(
            "volary_agent_informer_failures", "Lists and watches that broke", labels=["resource"]
        )
        for kind, informer in self._informers.items():
            objects.add_metric([kind.plural], len(informer))
            failures.add_metric([kind.plural], informer.counts.failures)
        failures.add_metric(["events"], self._events.counts.failures)
        yield objects
        yield failures


def proxy_metrics(counts: Counts) -> Iterable[Metric]:
    """Return the metrics of the API proxy, which pods call."""
    calls = CounterMetricFamily("volary_agent_proxy_calls", "Calls passed on", labels=["rpc"])
    for rpc, count in counts.calls.items():
        calls.add_metric([rpc], count)
    yield calls
    refusals = CounterMetricFamily(
        "volary_agent_proxy_refusals", "Calls refused", labels=["rpc", "code"]
    )
    for (rpc, code), count in counts.refusals.items():
        refusals.add_metric([rpc, code], count)
    yield refusals
    signed = CounterMetricFamily(
        "volary_agent_proxy_signer_requests", "Requests for signed URLs", labels=["verb"]
    )
    for verb, count in counts.links.items():
        signed.add_metric([verb], count)
    yield signed
    streams = GaugeMetricFamily("volary_agent_proxy_streams", "Streams open now")
    streams.add_metric([], counts.streams)
    yield streams


class MetricsServer:
    """Answers ``/metrics``, with the API proxy's limits on heads and fewer connections."""

    def __init__(self, address: str, render: Callable[[], bytes]) -> None:
        """``address`` is ``host:port``; ``render`` returns the page."""
        self._address = address
        self._render = render
        self.connections = Connections(
            "metrics",
            most=proxy_limits.METRICS_CONNECTIONS,
            most_per_address=proxy_limits.METRICS_CONNECTIONS_OF_ADDRESS,
        )
        self.started = asyncio.Event()
        self.port = 0  # set once started

    async def run(self) -> None:
        """Serve until cancelled."""
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            listening = await listen(runner, self._address, self.connections)
            self.port = listening.sockets[0].getsockname()[1]
            self.started.set()
            try:
                await self.connections.run()
            finally:
                listening.close()
                self.connections.close()
        finally:
            await runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4"}
        return web.Response(body=self._render(), headers=headers)
