"""Queues: changes of their settings, and their remaining capacity."""

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.queues import (
    DEFAULT,
    MAX_LIMIT,
    MAX_PRIORITY,
    Queue,
    QueueCapacities,
    QueueCapacity,
    QueueChange,
)

GPU = Queue(name="gpu", pool="big", priority=3, depth=7, run_concurrency=2)


def test_queue_change_keeps_unnamed_settings() -> None:
    assert QueueChange().apply(GPU) == GPU
    changed = QueueChange(pool="", priority=0, action_concurrency=4).apply(GPU)
    assert changed == Queue(
        name="gpu", pool="", priority=0, depth=7, run_concurrency=2, action_concurrency=4
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (QueueChange(priority=MAX_PRIORITY + 1), "between -1000 and 1000"),
        (QueueChange(priority=-MAX_PRIORITY - 1), "between -1000 and 1000"),
        (QueueChange(depth=-1), "depth is -1"),
        (QueueChange(run_concurrency=MAX_LIMIT + 1), "run_concurrency is 1000001"),
        (QueueChange(action_concurrency=-5), "0 for no limit"),
    ],
)
def test_queue_change_out_of_range_is_refused_naming_the_setting(
    change: QueueChange, why: str
) -> None:
    with pytest.raises(InvalidError, match=why):
        change.apply(GPU)


def test_queue_is_limited_by_either_concurrency_and_not_by_depth() -> None:
    assert GPU.is_limited
    assert Queue(name="q", action_concurrency=1).is_limited
    assert not Queue(name="q", depth=1).is_limited


def test_full_queue_refuses_actions() -> None:
    capacities = QueueCapacities({"gpu": QueueCapacity(GPU, remaining=2)})
    assert [capacities.take("gpu") for _ in range(4)] == [True, True, False, False]


def test_queue_without_depth_limit_accepts_all_actions() -> None:
    capacities = QueueCapacities({"gpu": QueueCapacity(GPU, remaining=None)})
    assert all(capacities.take("gpu") for _ in range(1_000))
    assert capacities.take(DEFAULT)


def test_queue_is_found_by_name_and_default_queue_always_exists() -> None:
    capacities = QueueCapacities({"gpu": QueueCapacity(GPU, remaining=0)})
    assert capacities.find("gpu") is GPU
    assert capacities.find(DEFAULT) == Queue(name=DEFAULT)
    assert capacities.find("absent") is None
