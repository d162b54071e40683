"""Deletion of clusters: only empty ones, with their tokens, and never below an epoch that was used."""

import pytest

from controlplane.core.clusters import AgentInfo
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.store.dispatch.claim import claim
from controlplane.store.resources.clusters import find_spec, open_agent_session
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName
from tests.integration.api.client import CLUSTER, ORG
from tests.integration.api.requests import create_run
from tests.integration.platform.test_clusters import CLUSTERS, authorization, recorded
from tests.integration.platform.world import RefusedError, World


async def test_deleted_cluster_is_gone_with_its_tokens_and_its_name_is_free(world: World) -> None:
    made = await world.ada.call("EnrolmentService/CreateCluster", name="c1")
    with pytest.raises(RefusedError, match="at version 1, not 7"):
        await world.ada.call(f"{CLUSTERS}/DeleteCluster", name="c1", version="7")
    assert await world.ada.call(f"{CLUSTERS}/DeleteCluster", name="c1") == {}
    with pytest.raises(RefusedError, match="cluster c1 not found"):
        await world.ada.call(f"{CLUSTERS}/DeleteCluster", name="c1")
    assert await world.ada.call("EnrolmentService/ListEnrolments", cluster="c1") == {}
    again = await world.ada.call("EnrolmentService/CreateCluster", name="c1")
    assert again["joinToken"] != made["joinToken"]
    acts = await recorded(world, "cluster:c1")
    assert acts == ["cluster.create", "cluster.delete", "cluster.create"]


async def test_cluster_with_attempts_is_not_deleted(world: World) -> None:
    created = await world.http.post(
        "/flyteidl2.workflow.RunService/CreateRun",
        content=create_run().SerializeToString(),
        headers={"content-type": "application/proto", **authorization(world)},
    )
    assert created.is_success, created.text
    async with world.database.for_org(ORG) as tx:
        now = SystemClock().now()
        found = await claim(tx, CLUSTER, "", scheduler=FairScheduler(), most=1, now=now)
    assert len(found.assignments) == 1
    with pytest.raises(RefusedError, match="has an attempt; drain it first") as refused:
        await world.ada.call(f"{CLUSTERS}/DeleteCluster", name=CLUSTER)
    assert refused.value.code == "failed_precondition"


async def test_cluster_that_is_created_again_supersedes_sessions_of_the_deleted_one(
    world: World,
) -> None:
    agent = AgentInfo(agent_id="a1", instance_id="i1", software="0")
    now = SystemClock().now()
    async with world.database.for_org(ORG) as tx:
        before = await open_agent_session(tx, ClusterName(CLUSTER), agent, now)
    await world.ada.call(f"{CLUSTERS}/DeleteCluster", name=CLUSTER)
    async with world.database.for_org(ORG) as tx:
        assert await find_spec(tx, ClusterName(CLUSTER), before) is None
    await world.ada.call("EnrolmentService/CreateCluster", name=CLUSTER)
    async with world.database.for_org(ORG) as tx:
        after = await open_agent_session(tx, ClusterName(CLUSTER), agent, now)
        assert await find_spec(tx, ClusterName(CLUSTER), before) is None
    assert after == before + 1
