"""Tests of the metrics of a whole control plane with an agent: names, labels and values."""

import asyncio
import re
from collections.abc import Mapping
from urllib.request import urlopen

from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from scripts.metrics import Declared, controlplane_metrics
from tests.integration.replicas.clients import running_parent
from tests.integration.replicas.world import Replica, World
from tests.servers.prometheus import Promtool, promtool

__all__ = ["promtool"]

_OF_LOGINS_AND_TLS = re.compile("volary_(browser|oauth|link_certificate|tls)_")


def read_page(replica: Replica) -> str:
    with urlopen(f"{replica.api.url}/metrics", timeout=60) as answer:  # noqa: S310 -- ours
        return str(answer.read().decode())


def scrape(replica: Replica) -> Mapping[str, Metric]:
    families = text_string_to_metric_families(read_page(replica))
    return {each.name: each for each in families}


def family_of(declared: Declared) -> str:
    """Return the name by which the text format groups a metric's series."""
    return declared.name.removesuffix("_total") if declared.kind == "counter" else declared.name


def value(served: Mapping[str, Metric], name: str, **labels: str) -> float:
    """Return the sum of the samples with this name and these labels."""
    return sum(
        sample.value
        for family in served.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_control_plane_serves_documented_metrics_with_documented_labels(world: World) -> None:
    served = scrape(world.replicas[0])
    documented = {family_of(each): each for each in controlplane_metrics()}
    ours = {name: family for name, family in served.items() if name.startswith("volary_")}
    assert not ours.keys() - documented.keys()
    missing = documented.keys() - ours.keys()
    assert [name for name in missing if not _OF_LOGINS_AND_TLS.match(name)] == []
    for name, family in ours.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= set(documented[name].labels), name
        assert labels.isdisjoint({"run", "action", "cluster", "user", "project"}), name
        assert family.documentation.endswith("."), name
    assert "process_cpu_seconds" in served


async def test_metrics_follow_the_conventions_of_prometheus(
    world: World, promtool: Promtool
) -> None:
    promtool.run("check", "metrics", given=read_page(world.replicas[0]))


async def test_metrics_show_a_run_from_its_call_to_its_lease(world: World) -> None:
    replica = world.replicas[0]
    before = scrape(replica)
    async with running_parent(world, replica) as root:
        request = GetRunDetailsRequest(run_id=root.run)
        await replica.api.runs.get_run_details(request)
        async with asyncio.timeout(60):
            while True:  # the load of all orgs is read every 15 s
                after = scrape(replica)
                if value(after, "volary_load_org_actions", state="leased"):
                    break
                await asyncio.sleep(0.2)
    calls = "flyteidl2.workflow.RunService/GetRunDetails"
    assert value(after, "volary_api_calls_total", rpc=calls, code="ok") >= 1
    assert value(after, "volary_api_call_seconds_count", rpc=calls) >= 1
    for name in (
        "volary_link_assignments_total",
        "volary_dispatch_wait_seconds_count",
        "volary_link_operation_seconds_count",
        "volary_db_transaction_seconds_count",
        "volary_loop_pass_seconds_count",
        "volary_event_loop_lag_seconds_count",
    ):
        assert value(after, name) > value(before, name), name
    assert value(after, "volary_link_sessions", release="same") == 1
    assert value(after, "volary_load_clusters", state="connected") == 1
    assert value(after, "volary_db_connections", pool="api", state="most") > 0
    assert value(after, "volary_db_errors_total") == 0
