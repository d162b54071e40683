"""Clusters, pools, queues and explanations by plain JSON over HTTP."""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import httpx
import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.roles import CONTRIBUTOR
from controlplane.store.agents.findings import save_findings
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.identity.audit import Audit
from shared.kit.clock import SystemClock
from shared.model.findings import Finding, FindingOutcome, Findings
from shared.model.ids import ClusterName
from tests.integration.api.client import CLUSTER, DOMAIN, ORG, PROJECT
from tests.integration.api.requests import create_run
from tests.integration.platform.world import RefusedError, World

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))
CLUSTERS, QUEUES = "ClusterService", "QueueService"


def authorization(world: World) -> Mapping[str, str]:
    return {"authorization": f"Bearer {world.ada.org} {world.ada.subject}"}


async def pages(world: World, rpc: str, rows: str, **request: Any) -> list[Mapping[str, Any]]:
    """List everything, one row a page."""
    found: list[Mapping[str, Any]] = []
    token = ""
    while True:
        page = await world.ada.call(rpc, pageSize=1, pageToken=token, **request)
        found += page.get(rows, [])
        token = page.get("nextPageToken", "")
        if not token:
            return found


async def test_cluster_is_cordoned_and_moved_with_versions(world: World) -> None:
    before = (await world.ada.call(f"{CLUSTERS}/GetCluster", name=CLUSTER))["cluster"]
    assert before["state"] == "never connected"
    change = {"name": CLUSTER, "cordoned": True, "pool": "gpus", "version": before["version"]}
    for mask, after in (("cordoned", ("cordoned", "")), ("pool", ("cordoned", "gpus"))):
        changed = await world.ada.call(f"{CLUSTERS}/UpdateCluster", cluster=change, updateMask=mask)
        found = changed["cluster"]
        assert (found["state"], found.get("pool", "")) == after
        with pytest.raises(RefusedError, match="read it again") as refused:
            await world.ada.call(f"{CLUSTERS}/UpdateCluster", cluster=change, updateMask=mask)
        assert refused.value.code == "aborted"
        change["version"] = found["version"]


async def test_repeated_change_of_a_cluster_is_recorded_once(world: World) -> None:
    for _ in range(2):
        await world.ada.call(
            f"{CLUSTERS}/UpdateCluster",
            cluster={"name": CLUSTER, "cordoned": True},
            updateMask="cordoned",
        )
        await world.ada.call(f"{CLUSTERS}/DrainCluster", name=CLUSTER)
    assert await recorded(world, f"cluster:{CLUSTER}") == ["cluster.cordon", "cluster.drain"]


async def recorded(world: World, target: str) -> list[str]:
    reader = Caller(
        subject=Subject("operator:test"), org=world.ada.org, name="", grants=org_wide(EVERYTHING)
    )
    exported = await Audit(world.database).export_page(reader)
    return [each.event.action for each in exported.records if each.event.target == target]


async def test_drain_is_watched_until_its_deadline(world: World) -> None:
    drained = await world.ada.call(f"{CLUSTERS}/DrainCluster", name=CLUSTER)
    assert drained["drain"]["cluster"]["state"] == "draining"
    message = b'{"name": "local", "deadline": "0s"}'
    answer = await world.http.post(
        "/volary.platform.v1.ClusterService/WatchDrain",
        content=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={
            "content-type": "application/connect+json",
            **authorization(world),
        },
    )
    assert b'"drainingSince"' in answer.content
    assert answer.content.endswith(b"{}")


@pytest.mark.parametrize("deadline", ["-1s", "700000s", "1e3s"])
async def test_bad_deadline_of_a_drain_is_refused(world: World, deadline: str) -> None:
    message = f'{{"name": "local", "deadline": "{deadline}"}}'.encode()
    answer: httpx.Response = await world.http.post(
        "/volary.platform.v1.ClusterService/WatchDrain",
        content=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={
            "content-type": "application/connect+json",
            **authorization(world),
        },
    )
    assert b'"invalid_argument"' in answer.content


async def test_queue_is_created_changed_and_deleted(world: World) -> None:
    made = await world.ada.call(f"{QUEUES}/CreateQueue", queue={"name": "gpu", "depth": 5})
    assert made == await world.ada.call(f"{QUEUES}/CreateQueue", queue={"name": "gpu", "depth": 5})
    assert made["queue"]["version"] == "1"
    with pytest.raises(RefusedError, match="exists with other settings") as taken:
        await world.ada.call(f"{QUEUES}/CreateQueue", queue={"name": "gpu", "depth": 6})
    assert taken.value.code == "already_exists"

    change = {"name": "gpu", "priority": 3, "version": "1"}
    changed = await world.ada.call(f"{QUEUES}/UpdateQueue", queue=change, updateMask="priority")
    assert {name: changed["queue"][name] for name in ("depth", "priority", "version")} == {
        "depth": 5,
        "priority": 3,
        "version": "2",
    }
    with pytest.raises(RefusedError, match="at version 2, not 1"):
        await world.ada.call(f"{QUEUES}/UpdateQueue", queue=change, updateMask="priority")
    assert await world.ada.call(f"{QUEUES}/DeleteQueue", name="gpu") == {}
    assert await recorded(world, "queue:gpu") == ["queue.set", "queue.set", "queue.delete"]


async def test_queue_that_is_missing_is_created_only_if_allowed(world: World) -> None:
    request = {"queue": {"name": "gpu", "pool": "gpus"}, "updateMask": "pool"}
    with pytest.raises(RefusedError, match="queue gpu not found; there is none") as refused:
        await world.ada.call(f"{QUEUES}/UpdateQueue", **request)
    assert refused.value.code == "not_found"
    made = await world.ada.call(f"{QUEUES}/UpdateQueue", allowMissing=True, **request)
    assert (made["queue"]["pool"], made["queue"]["version"]) == ("gpus", "1")


@pytest.mark.parametrize(
    "queue", [{"name": "default"}, {"name": "a/b"}, {"name": "q", "priority": 1001}, {"name": ""}]
)
async def test_bad_settings_of_a_queue_are_refused(world: World, queue: Mapping[str, Any]) -> None:
    with pytest.raises(RefusedError) as refused:
        await world.ada.call(f"{QUEUES}/CreateQueue", queue=queue)
    assert refused.value.code == "invalid_argument"


async def test_clusters_queues_and_pools_are_listed_in_pages(world: World) -> None:
    for name, pool in (("a", ""), ("b", "gpus"), ("c", "tpus")):
        await world.ada.call(f"{QUEUES}/CreateQueue", queue={"name": name, "pool": pool})
    queues = await pages(world, f"{QUEUES}/ListQueues", "queues")
    clusters = await pages(world, f"{CLUSTERS}/ListClusters", "clusters")
    pools = await pages(world, "PoolService/ListPools", "pools")
    assert [each["name"] for each in queues] == ["a", "b", "c"]
    assert [each["name"] for each in clusters] == [CLUSTER]
    assert pools == [
        {"clusters": 1, "queues": 1},
        {"name": "gpus", "queues": 1},
        {"name": "tpus", "queues": 1},
    ]


async def test_run_is_explained_in_pages(world: World) -> None:
    created = await world.http.post(
        "/flyteidl2.workflow.RunService/CreateRun",
        content=create_run().SerializeToString(),
        headers={"content-type": "application/proto", **authorization(world)},
    )
    assert created.is_success, created.text
    at = {"project": PROJECT, "domain": DOMAIN, "run": "r1"}
    explained = await world.ada.call("ExplanationService/ExplainAction", action="a0", **at)
    assert explained["explanation"]["reason"] == "no_cluster"
    assert explained["explanation"]["timeline"][0]["startedAt"]
    [pending] = await pages(world, "ExplanationService/ListPendingActions", "actions", **at)
    assert (pending["action"], pending["reason"]) == ("a0", "no_cluster")


async def test_clusters_of_another_org_do_not_exist(world: World) -> None:
    for rpc in (f"{CLUSTERS}/GetCluster", f"{CLUSTERS}/DrainCluster"):
        with pytest.raises(RefusedError, match="not found; there is none") as refused:
            await world.eve.call(rpc, name=CLUSTER)
        assert refused.value.code == "not_found"
    assert await world.eve.call(f"{CLUSTERS}/ListClusters") == {}


async def test_contributor_does_not_change_clusters_and_queues(world: World) -> None:
    bob = await world.join("bob", CONTRIBUTOR)
    for rpc, request in (
        (f"{CLUSTERS}/DrainCluster", {"name": CLUSTER}),
        (f"{QUEUES}/CreateQueue", {"queue": {"name": "gpu"}}),
    ):
        with pytest.raises(RefusedError) as refused:
            await bob.call(rpc, **request)
        assert refused.value.code == "permission_denied"


async def test_clusters_are_watched_whole_and_then_by_their_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.clusters.WATCH_INTERVAL", timedelta(milliseconds=10))
    clusters = Clusters(world.database, SystemClock())
    async with aclosing(clusters.watch(OPERATOR)) as watched:  # type: ignore[type-var]
        first = await anext(watched)
        assert [each.name for each in first.changed] == [CLUSTER]
        assert first.is_complete
        await clusters.cordon(OPERATOR, ClusterName(CLUSTER))
        second = await anext(watched)
    assert [(each.name, each.cordoned) for each in second.changed] == [(CLUSTER, True)]


async def test_caller_knows_what_they_may_do_and_where(world: World) -> None:
    viewer = await world.join("vic", "")
    bound = {"principal": {"userId": viewer.id}, "role": "viewer", "project": PROJECT}
    await world.ada.call("RoleBindingService/CreateRoleBinding", **bound)
    owner = (await world.ada.call("CallerService/GetCaller"))["caller"]
    assert (owner["subject"], owner["org"]) == (world.ada.subject, world.ada.org)
    assert "cluster:write" in owner["grants"][0]["permissions"]
    assert "anonymous" not in owner
    [grant] = (await viewer.call("CallerService/GetCaller"))["caller"]["grants"]
    assert grant["project"] == PROJECT
    assert "run:read" in grant["permissions"]
    assert "run:abort" not in grant["permissions"]


async def test_findings_of_an_agent_are_served_with_its_cluster(world: World) -> None:
    got = await world.ada.call(f"{CLUSTERS}/GetCluster", name=CLUSTER)
    assert "findings" not in got
    fault = Finding(
        about="permissions",
        outcome=FindingOutcome.FAULT,
        text="may not create pods",
        remedy="add this to the agent's role",
    )
    fine = Finding(about="kubernetes", outcome=FindingOutcome.OK, text="it answers")
    checked = SystemClock().now().replace(microsecond=0)
    async with world.database.for_org(ORG) as tx:
        await save_findings(tx, ClusterName(CLUSTER), Findings([fault, fine], checked), checked)
    got = await world.ada.call(f"{CLUSTERS}/GetCluster", name=CLUSTER)
    assert got["findings"]["findings"] == [
        {
            "about": "permissions",
            "outcome": "fault",
            "text": "may not create pods",
            "remedy": "add this to the agent's role",
        },
        {"about": "kubernetes", "outcome": "ok", "text": "it answers"},
    ]
    assert got["findings"]["checkedAt"] == f"{checked:%Y-%m-%dT%H:%M:%SZ}"
