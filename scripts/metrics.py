"""Renders ``docs/metrics.md`` from the metrics that both programs register."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controlplane.api.metrics import CallMetrics
from controlplane.link.metrics import LinkMetrics
from controlplane.loops.fleet_load import FleetLoadMetrics
from controlplane.metrics import make_registry
from controlplane.oauth.metrics import BrowserLoginMetrics, OAuthMetrics
from controlplane.store.metrics import DatabaseMetrics
from controlplane.web.metrics import HttpMetrics
from dataplane.agent.main.metrics import (
    informer_metrics,
    kube_metrics,
    leader_metrics,
    link_metrics,
    proxy_metrics,
)
from dataplane.agent.proxy.metrics import Counts
from shared.kit.metrics import certificate_metrics
from shared.traces.spans import NO_SPANS

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"

_HEAD = """\
# Metrics

Written by `make docs` from the declarations in the code; edit those.

Both programs serve metrics for Prometheus. The control plane serves `/metrics` on its HTTP port,
to the addresses of `VOLARY_METRICS_FROM` only; an agent in Kubernetes on the port of
`--metrics-listen`. The charts have a `PodMonitor` for each, rules
with alerts ([runbooks.md](runbooks.md)), and dashboards.

Label values are from sets that the code fixes: RPCs, codes, loops, pools of connections. The
exceptions are `org` and `pool` of `volary_load_…`, of which there are at most twenty orgs and fifty
pools at a time, and `(others)`. No metric has a label of a run, an action, a cluster or a user.

Both programs also have the usual `process_…` metrics (CPU, memory, open files). Of a histogram, the
series are `…_bucket`, `…_sum` and `…_count`; of a summary, `…_sum` and `…_count`.
"""


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric, by the name that a query uses; without the suffixes of a histogram's series."""

    name: str
    kind: str
    labels: Sequence[str]
    description: str


class _Declarations(CollectorRegistry):
    """Keeps what is registered: the library's registry shows no metric without series."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        self.collectors.append(collector)


def controlplane_metrics() -> Sequence[Declared]:
    """Return every metric that a control plane may have, whatever its settings."""
    registry = _Declarations()
    make_registry(NO_SPANS, registry)
    for group in (
        BrowserLoginMetrics,
        CallMetrics,
        DatabaseMetrics,
        FleetLoadMetrics,
        HttpMetrics,
        LinkMetrics,
        OAuthMetrics,
    ):
        group(registry)
    for prefix, whose in (("volary_link", "agents' ports"), ("volary_tls", "HTTP port")):
        certificate_metrics(
            registry,
            prefix,
            whose,
            read_expiry=lambda: datetime.fromtimestamp(0, UTC),
            read_failed_reloads=lambda: 0,
        )
    return sorted(
        {each.name: each for made in registry.collectors for each in _declared(made)}.values(),
        key=lambda each: each.name,
    )


def agent_metrics() -> Sequence[Declared]:
    """Return every metric of an agent in Kubernetes."""
    families = [
        *leader_metrics(leads=True),
        *link_metrics(None, None),
        *kube_metrics({}, {}),
        *informer_metrics({}, failed_event_watches=0),
        *proxy_metrics(Counts()),
    ]
    return sorted(map(_of_family, families), key=lambda each: each.name)


def metrics_page() -> str:
    """Render the page as Markdown."""
    return "".join([
        _HEAD,
        "\n## Control plane\n\n",
        *_table(controlplane_metrics()),
        "\n## Agent\n\n",
        *_table(agent_metrics()),
    ])  # fmt: skip


def _declared(collector: Collector) -> Iterator[Declared]:
    if isinstance(collector, ProcessCollector):
        return
    if isinstance(collector, MetricWrapperBase):
        family = next(iter(collector.describe()))
        yield _of_family(family, labels=collector._labelnames)  # noqa: SLF001  # no other way
        return
    for family in collector.collect():
        yield _of_family(family)


def _of_family(family: Metric, labels: Sequence[str] | None = None) -> Declared:
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    names = getattr(family, "_labelnames", ()) if labels is None else labels
    if family.type == "info":
        names = [name for sample in family.samples for name in sample.labels]
    return Declared(f"{family.name}{suffix}", family.type, tuple(names), family.documentation)


def _table(metrics: Sequence[Declared]) -> Iterator[str]:
    yield "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"
    for each in metrics:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        yield f"| `{each.name}` | {each.kind} | {labels} | {each.description} |\n"
