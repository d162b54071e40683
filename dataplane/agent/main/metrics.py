"""Prometheus metrics of a Kubernetes agent, collected at each scrape."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from dataplane.agent.core.self_fencing import LastHeartbeat
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.election import Election
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import Kind
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.main.control_plane_heartbeat import ControlPlaneHeartbeat
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
        *,
        heartbeat: ControlPlaneHeartbeat,
    ) -> None:
        self._kube = kube
        self._informers = informers
        self._events = events
        self._proxy = proxy
        self._election = election
        self._heartbeat = heartbeat
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Return the current values in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        yield from leader_metrics(leads=self._election.leads)
        yield from link_metrics(self._heartbeat.last, self._heartbeat.ledger)
        yield from kube_metrics(self._kube.requests, self._kube.seconds)
        yield from informer_metrics(
            self._informers, failed_event_watches=self._events.counts.failures
        )
        yield from proxy_metrics(self._proxy.counts)


def leader_metrics(*, leads: bool) -> Iterable[Metric]:
    yield GaugeMetricFamily("volary_agent_leads", "Whether this replica leads.", value=float(leads))


def informer_metrics(
    informers: Mapping[Kind, Informer], *, failed_event_watches: int
) -> Iterable[Metric]:
    """Return the metrics of the copies of the cluster's objects."""
    objects = GaugeMetricFamily(
        "volary_agent_informer_objects", "Objects in memory.", labels=["resource"]
    )
    failures = CounterMetricFamily(
        "volary_agent_informer_failures", "Lists and watches that broke.", labels=["resource"]
    )
    for kind, informer in informers.items():
        objects.add_metric([kind.plural], len(informer))
        failures.add_metric([kind.plural], informer.counts.failures)
    failures.add_metric(["events"], failed_event_watches)
    yield objects
    yield failures


def link_metrics(last: LastHeartbeat | None, ledger: Ledger | None) -> Iterable[Metric]:
    """Return the metrics of the link; ``ledger`` is that of a replica that leads."""
    yield InfoMetricFamily(
        "volary_agent_build",
        "1; the release of this agent is its label.",
        value={"version": version("volary")},
    )
    yield GaugeMetricFamily(
        "volary_agent_heartbeat_timestamp_seconds",
        "When the agent sent the last heartbeat that the control plane acknowledged; 0: never.",
        value=0 if last is None else last.at.timestamp(),
    )
    attempts = GaugeMetricFamily(
        "volary_agent_attempts", "Attempts in the ledger; only of the replica that leads."
    )
    outbox = GaugeMetricFamily(
        "volary_agent_outbox_reports",
        "Reports that the control plane has not acknowledged; only of the replica that leads.",
    )
    skew = GaugeMetricFamily(
        "volary_agent_clock_skew_seconds",
        "How far this clock was ahead of the control plane's when the session began, less than"
        " a second of it on the way; only of the replica that leads.",
    )
    if ledger is not None:
        attempts.add_metric([], len(ledger.active))
        outbox.add_metric([], len(ledger.outbox))
        skew.add_metric([], ledger.clock_skew.total_seconds())
    yield from (attempts, outbox, skew)


def kube_metrics(
    counts: Mapping[tuple[str, str, int], int], times: Mapping[tuple[str, str], tuple[int, float]]
) -> Iterable[Metric]:
    """Return the metrics of requests to the API server."""
    requests = CounterMetricFamily(
        "volary_agent_kube_requests",
        "Requests to the API server; code 0: no answer.",
        labels=["verb", "resource", "code"],
    )
    for (verb, resource, code), count in counts.items():
        requests.add_metric([verb, resource, str(code)], count)
    yield requests
    seconds = SummaryMetricFamily(
        "volary_agent_kube_request_seconds",
        "How long the API server took until the head of its answer came.",
        labels=["verb", "resource"],
    )
    for labels, (number, total) in times.items():
        seconds.add_metric([*labels], number, total)
    yield seconds


def proxy_metrics(counts: Counts) -> Iterable[Metric]:
    """Return the metrics of the API proxy, which pods call."""
    calls = CounterMetricFamily("volary_agent_proxy_calls", "Calls passed on.", labels=["rpc"])
    for rpc, count in counts.calls.items():
        calls.add_metric([rpc], count)
    yield calls
    refusals = CounterMetricFamily(
        "volary_agent_proxy_refusals", "Calls refused.", labels=["rpc", "code"]
    )
    for (rpc, code), count in counts.refusals.items():
        refusals.add_metric([rpc, code], count)
    yield refusals
    seconds = SummaryMetricFamily(
        "volary_agent_proxy_call_seconds", "How long unary calls took.", labels=["rpc"]
    )
    for rpc, (number, total) in counts.seconds.items():
        seconds.add_metric([rpc], number, total)
    yield seconds
    signed = CounterMetricFamily(
        "volary_agent_proxy_signer_requests", "Requests for signed URLs.", labels=["verb"]
    )
    for verb, count in counts.links.items():
        signed.add_metric([verb], count)
    yield signed
    streams = GaugeMetricFamily("volary_agent_proxy_streams", "Streams that are open.")
    streams.add_metric([], counts.streams)
    yield streams
    yield GaugeMetricFamily(
        "volary_agent_proxy_calls_in_flight",
        "Unary calls that are being passed on.",
        value=counts.in_flight,
    )


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
        runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=proxy_limits.CLOSE_WITHIN.total_seconds(),
        )
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
            await self.connections.drain(proxy_limits.CLOSE_WITHIN.total_seconds())

    async def _answer(self, _: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4"}
        return web.Response(body=self._render(), headers=headers)
