"""Clusters: a join token that an agent uses, runs that end, and a drain before the cluster goes."""

import asyncio
import re
from pathlib import Path

from tests.system.tenants.world import PROJECT, Tenant, run_name
from tests.terraform.world import Org

CLUSTER = """
resource "volary_cluster" "c1" {
  name          = "c1"
  auto_accept   = true
  drain_timeout = "2s"
}
"""


def test_cluster_runs_a_workflow_and_is_drained_before_it_is_destroyed(org: Org) -> None:
    tenant = as_tenant(org)
    org.apply(CLUSTER)
    token = org.resource("volary_cluster.c1")["join_token"]
    with org.installation.agent(tenant, "c1", token):
        run = asyncio.run(start_run(org, tenant, "hello.py", "main"))
        assert asyncio.run(org.installation.wait_for_output(tenant, run))
        assert org.terraform.plan() == ""

        asyncio.run(
            start_run(
                org, tenant, "endless.py", "worker", "--pids", str(tenant.home), "--name", "p"
            )
        )
        org.wait_until(lambda: leased(org) == 1, "the cluster has the attempt")
        refusal = org.terraform.refuse("destroy", "-auto-approve")
        assert re.search(r"still has 1 attempts after 2s, such as \S+/development/\S+/a0", refusal)
        cluster = org.call("ClusterService/GetCluster", name="c1")["cluster"]
        assert cluster["state"] == "draining"

        org.apply(CLUSTER.replace('"2s"', '"2s"\n  stop_attempts = true'))
        assert "1 destroyed" in org.terraform.destroy()
    assert org.post("ClusterService/GetCluster", {"name": "c1"}).status_code == 404


def leased(org: Org) -> int:
    cluster = org.call("ClusterService/GetCluster", name="c1")["cluster"]
    return int(cluster.get("load", {}).get("leased", 0))


def as_tenant(org: Org) -> Tenant:
    home = Path(org.terraform.directory) / "tenant"
    home.mkdir()
    return Tenant(org=org.name, account="", provider=None, home=home, api_key=org.api_key)  # type: ignore[arg-type]


async def start_run(org: Org, tenant: Tenant, file: str, task: str, *inputs: str) -> str:
    workflow = f"tests/system/workflows/{file}"
    return run_name(
        await org.installation.flyte(
            tenant, "run", "--project", PROJECT, "--domain", "development", workflow, task, *inputs
        )
    )


def test_cluster_is_cordoned_moved_imported_and_its_token_replaced(org: Org) -> None:
    content = CLUSTER.replace("auto_accept   = true", 'pool = "gpus"\n  cordoned = true')
    org.apply(
        content + 'resource "volary_join_token" "c1" {\n  cluster = volary_cluster.c1.name\n}\n'
    )
    assert org.terraform.plan() == ""
    cluster = org.call("ClusterService/GetCluster", name="c1")["cluster"]
    assert (cluster["pool"], cluster["state"]) == ("gpus", "cordoned")
    tokens = org.terraform.resources()
    first, second = tokens["volary_cluster.c1"], tokens["volary_join_token.c1"]
    assert first["join_token"] != second["join_token"]
    enrolments = org.call("EnrolmentService/ListEnrolments", cluster="c1")["enrolments"]
    assert len(enrolments) == 2

    org.call("ClusterService/UpdateCluster", cluster={"name": "c1", "pool": ""}, updateMask="pool")
    assert "0 to add, 1 to change, 0 to destroy" in org.terraform.plan()
    org.terraform.run("state", "rm", "volary_cluster.c1")
    org.terraform.run("import", "volary_cluster.c1", "c1")
    org.terraform.apply()
    assert org.terraform.plan() == ""
    org.terraform.destroy()
    assert org.call("ClusterService/ListClusters") == {}
    assert "2 added" in org.terraform.apply()


def test_pool_counts_the_clusters_and_queues_that_name_it(org: Org) -> None:
    org.apply("""
resource "volary_cluster" "c1" {
  name = "c1"
  pool = "gpus"
}
resource "volary_queue" "q1" {
  name = "q1"
  pool = volary_cluster.c1.pool
}
data "volary_pool" "gpus" {
  name       = "gpus"
  depends_on = [volary_queue.q1]
}
data "volary_pool" "none" {
  name = "none"
}
""")
    found = org.terraform.resources()
    assert (
        found["data.volary_pool.gpus"]["clusters"],
        found["data.volary_pool.gpus"]["queues"],
    ) == (1, 1)
    assert found["data.volary_pool.none"]["clusters"] == 0
