"""Pending reasons of pools, queues, runs and clusters."""

from dataclasses import replace

import pytest

from controlplane.core.pending_reasons import (
    BlockedKind,
    BlockedScope,
    OrgUse,
    PoolMember,
    QueueUse,
    RunUse,
    find,
    of_cluster,
    of_pool,
)
from controlplane.core.queues import Queue
from controlplane.core.reason_codes import Reason
from tests.factories import NOW, ORG

RESTORED = PoolMember(
    cluster="c1", pool="", connected=True, takes_work=False, slots=1, seen_at=None, restored=True
)
READY = PoolMember(cluster="c1", pool="", connected=True, takes_work=True, slots=1, seen_at=NOW)
FULL = replace(READY, cluster="c2", slots=0)
AWAY = replace(READY, cluster="c3", connected=False)
CORDONED = replace(READY, cluster="c4", takes_work=False)


@pytest.mark.parametrize(
    ("members", "reason", "words"),
    [
        ([], Reason.NO_CLUSTER, "No cluster serves pool gpus"),
        ([CORDONED], Reason.NO_CLUSTER, "cordoned or drained (c4)"),
        ([AWAY], Reason.NO_CLUSTER, "is connected (c3)"),
        ([AWAY, CORDONED], Reason.NO_CLUSTER, "is connected (c3)"),
        ([FULL, AWAY, CORDONED], Reason.NO_CREDIT, "at capacity (c2)"),
    ],
    ids=["none there", "cordoned", "away", "away or cordoned", "full"],
)
def test_pending_reason_of_pool_names_the_cause(
    members: list[PoolMember], reason: Reason, words: str
) -> None:
    pending = of_pool("gpus", members)
    assert pending is not None
    assert pending.reason is reason
    assert words in pending.message


def test_pool_with_one_free_cluster_has_no_pending_reason() -> None:
    assert of_pool("", [FULL, AWAY, CORDONED, READY]) is None


def test_pending_reason_names_at_most_five_clusters() -> None:
    pending = of_pool("", [replace(AWAY, cluster=f"c{number}") for number in range(9)])
    assert pending is not None
    assert "c4 and 4 more" in pending.message


def test_pending_reasons_of_org_are_found_by_scope() -> None:
    limits = Queue(name="q", pool="gpus", run_concurrency=2, action_concurrency=5)
    use = OrgUse(
        org=ORG,
        members=[READY, replace(AWAY, seen_at=None)],
        pools=["gpus"],
        queues=[QueueUse(queue=limits, leased=5, runs=1)],
        runs=[RunUse(run="r", limit=3, leased=3), RunUse(run="s", limit=3, leased=2)],
    )
    assert {blocked: found.reason for blocked, found in find(use).items()} == {
        BlockedScope(BlockedKind.POOL, "gpus"): Reason.NO_CLUSTER,
        BlockedScope(BlockedKind.QUEUE, "q"): Reason.QUEUE_LIMIT,
        BlockedScope(BlockedKind.RUN, "r"): Reason.RUN_LIMIT,
    }


def test_pending_reason_of_queue_at_its_run_limit_applies_to_roots_only() -> None:
    use = QueueUse(queue=Queue(name="q", run_concurrency=2), leased=9, runs=2)
    found = find(OrgUse(org=ORG, members=[READY], queues=[use]))
    assert set(found) == {BlockedScope(BlockedKind.QUEUE_RUNS, "q")}


def test_pending_reason_of_silent_cluster_begins_at_its_last_heartbeat() -> None:
    found = find(OrgUse(org=ORG, members=[READY, AWAY]))
    pending = found[BlockedScope(BlockedKind.CLUSTER, "c3")]
    assert (pending.reason, pending.since) == (Reason.CLUSTER_SILENT, NOW)


def test_org_without_clusters_has_a_pending_reason_for_the_default_pool() -> None:
    assert set(find(OrgUse(org=ORG))) == {BlockedScope(BlockedKind.POOL, "")}


CLONES = "instance one was refused, instance two has the session"


def test_silent_cluster_names_the_agents_that_share_its_identity() -> None:
    silent = replace(READY, connected=False, cloned=CLONES)
    found = of_cluster(silent)
    assert found is not None
    assert f"identity of cluster c1 ({CLONES}): stop the one" in found.message
    alone = of_cluster(replace(silent, cloned=""))
    assert alone is not None
    assert alone.message.endswith("check its agent and the network.")


def test_pool_without_connected_clusters_names_clones_of_at_most_five() -> None:
    silent = [
        replace(READY, cluster=f"c{number}", connected=False, cloned=CLONES if number else "")
        for number in range(9)
    ]
    found = of_pool("", silent)
    assert found is not None
    assert found.message.count(CLONES) == 5
    assert "cluster c0 (" not in found.message


def test_pool_after_a_restore_says_how_its_clusters_are_released() -> None:
    found = of_pool("", [RESTORED])
    assert found is not None
    assert "restored from a backup" in found.message
    assert "`volary restored release`" in found.message
