"""Limits of queues and runs that wait for each other."""

from controlplane.core.deadlocks import (
    KeptLimit,
    SpawnedRunLimit,
    find_deadlocks,
    find_spawn_deadlocks,
)
from controlplane.core.pending_reasons import BlockedKind, BlockedScope
from controlplane.core.reason_codes import Reason

QUEUE = BlockedScope(BlockedKind.QUEUE, "gpu")
RUN = BlockedScope(BlockedKind.RUN, "r1")
OTHER_RUN = BlockedScope(BlockedKind.RUN, "r2")


def limit(place: BlockedScope, *needs: BlockedScope) -> KeptLimit:
    return KeptLimit(place=place, name=f"{place.kind.name.lower()} {place.name}", needs=needs)


def test_limits_that_need_nothing_are_no_deadlock() -> None:
    assert find_deadlocks([limit(QUEUE), limit(RUN)]) == {}


def test_limit_whose_children_can_start_elsewhere_is_no_deadlock() -> None:
    assert find_deadlocks([limit(QUEUE, RUN), limit(RUN)]) == {}


def test_limits_that_need_each_other_are_a_deadlock_with_a_command() -> None:
    found = find_deadlocks([limit(QUEUE, RUN), limit(RUN, QUEUE), limit(OTHER_RUN)])

    assert found.keys() == {QUEUE, RUN}
    assert {each.reason for each in found.values()} == {Reason.DEADLOCK}
    assert "queue gpu and run r1" in found[QUEUE].message
    assert "volary queue set gpu --action-concurrency N" in found[QUEUE].message


def test_deadlock_of_runs_alone_asks_to_abort_one() -> None:
    found = find_deadlocks([limit(RUN, OTHER_RUN), limit(OTHER_RUN, RUN)])

    assert found.keys() == {RUN, OTHER_RUN}
    assert "abort one of the runs" in found[RUN].message
    assert "volary queue set" not in found[RUN].message


def test_limits_held_by_runs_that_wait_for_spawned_runs_are_a_deadlock_with_a_command() -> None:
    found = find_spawn_deadlocks(
        [
            SpawnedRunLimit(queue="gpu", kind=kind, holder="r1", waiting="r2")
            for kind in (BlockedKind.QUEUE_RUNS, BlockedKind.QUEUE)
        ]
    )
    of_runs = found[BlockedScope(BlockedKind.QUEUE_RUNS, "gpu")]
    assert of_runs.reason is Reason.DEADLOCK
    assert "limit of runs of queue gpu" in of_runs.message
    assert "run r1 started r2" in of_runs.message
    assert "volary queue set gpu --run-concurrency N" in of_runs.message
    of_actions = found[QUEUE].message
    assert "limit of actions of queue gpu" in of_actions
    assert "volary queue set gpu --action-concurrency N" in of_actions
