"""Fair scheduler: round-robin order, limits and handovers."""

from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given, strategies as st

from controlplane.core.fair_scheduler import (
    Candidate,
    FairScheduler,
    Handover,
    KeyRange,
    QueueQuota,
    SubQueue,
    allocate,
    has_quota,
)
from shared.model.ids import ActionId, RunId
from tests.factories import NOW

CHILDREN = SubQueue(limited=False, queue="", is_root=False)
LIMITED = SubQueue(limited=True, queue="q", is_root=False)
ROOTS = SubQueue(limited=True, queue="q", is_root=True)


def run(number: int) -> RunId:
    return RunId(UUID(int=number))


def candidates_in(sub_queue: SubQueue, *numbers: int) -> list[Candidate]:
    return [Candidate(sub_queue, run(number)) for number in numbers]


def count(
    candidates: list[Candidate],
    most: int,
    *,
    queues: dict[str, QueueQuota] | None = None,
    runs: dict[RunId, int] | None = None,
) -> list[int]:
    allocated = allocate(candidates, most=most, queues=queues or {}, runs=runs or {}).count
    return [allocated.get(candidate, 0) for candidate in candidates]


def test_allocate_shares_slots_round_robin() -> None:
    assert count(candidates_in(CHILDREN, 1, 2, 3), 10) == [4, 3, 3]
    assert count(candidates_in(CHILDREN, 1, 2, 3), 2) == [1, 1, 0]
    assert count(candidates_in(CHILDREN, 1), 10) == [10]
    assert count(candidates_in(CHILDREN, 1), 0) == [0]


def test_allocate_respects_the_quota_of_a_queue() -> None:
    candidates = candidates_in(LIMITED, 1, 2)
    assert count(candidates, 10, queues={"q": QueueQuota(actions=3)}) == [2, 1]
    assert count(candidates, 10, queues={"q": QueueQuota(actions=-2)}) == [0, 0]


def test_allocate_counts_a_root_as_run_and_as_action() -> None:
    candidates = [*candidates_in(ROOTS, 1, 2, 3), *candidates_in(LIMITED, 1)]
    assert count(candidates, 10, queues={"q": QueueQuota(runs=2)}) == [1, 1, 0, 8]
    assert count(candidates, 10, queues={"q": QueueQuota(actions=2, runs=1)}) == [1, 0, 0, 1]


def test_allocate_skips_a_run_at_its_limit_except_for_its_root() -> None:
    candidates = [*candidates_in(LIMITED, 1, 2), *candidates_in(ROOTS, 1)]
    assert count(candidates, 10, runs={run(1): 0}) == [0, 9, 1]
    assert count(candidates, 10, runs={run(1): 1, run(2): 2}) == [1, 2, 1]


def test_sub_queue_has_no_quota_when_its_queue_is_full() -> None:
    assert has_quota(LIMITED, {})
    assert has_quota(LIMITED, {"q": QueueQuota(runs=0)})
    assert not has_quota(ROOTS, {"q": QueueQuota(runs=0)})
    assert not has_quota(LIMITED, {"q": QueueQuota(actions=0)})
    assert has_quota(SubQueue(limited=False, queue="q", is_root=True), {"q": QueueQuota(actions=0)})


def test_scheduler_key_ranges_begin_after_the_cursor_and_end_with_it() -> None:
    scheduler = FairScheduler()
    sub_queues = [CHILDREN, LIMITED, ROOTS]
    assert scheduler.key_ranges(0, sub_queues) == [KeyRange(sub_queue) for sub_queue in sub_queues]
    scheduler.mark_dispatched(0, Candidate(LIMITED, run(7)))
    assert scheduler.key_ranges(0, sub_queues) == [
        KeyRange(LIMITED, after=run(7)),
        KeyRange(ROOTS),
        KeyRange(CHILDREN),
        KeyRange(LIMITED, until=run(7)),
    ]
    assert scheduler.key_ranges(0, [CHILDREN, ROOTS]) == [KeyRange(ROOTS), KeyRange(CHILDREN)]
    assert scheduler.key_ranges(5, sub_queues) == [KeyRange(sub_queue) for sub_queue in sub_queues]


def skip_page(
    scheduler: FairScheduler, waiting: dict[Candidate, datetime], *, page_size: int
) -> datetime | None:
    """Skip the next page of candidates in a round, none of which may be dispatched."""
    sub_queues = sorted({candidate.sub_queue for candidate in waiting})
    order = [
        (candidate, waiting[candidate])
        for key_range in scheduler.key_ranges(0, sub_queues)
        for candidate in sorted(waiting)
        if candidate.sub_queue == key_range.sub_queue
        and key_range.after < candidate.run <= key_range.until
    ]
    return scheduler.skip(0, order[:page_size], page_size=page_size, now=NOW)


def test_scheduler_round_without_dispatch_rests_until_the_first_candidate_is_available() -> None:
    soon, later = NOW + timedelta(seconds=5), NOW + timedelta(hours=1)
    candidates = [*candidates_in(CHILDREN, *range(1, 6)), *candidates_in(ROOTS, *range(1, 6))]
    for first in candidates:  # any candidate may be first, and any may be the cursor
        waiting = {candidate: soon if candidate == first else later for candidate in candidates}
        for begin in candidates:
            scheduler = FairScheduler()
            scheduler.mark_dispatched(0, begin)
            skips = [skip_page(scheduler, waiting, page_size=4) for _ in range(3)]
            assert skips == [NOW, NOW, soon]


def test_scheduler_round_blocked_by_limits_rests_until_notified() -> None:
    scheduler, waiting = FairScheduler(), dict.fromkeys(candidates_in(LIMITED, *range(1, 11)), NOW)
    assert [skip_page(scheduler, waiting, page_size=4) for _ in range(4)] == [NOW, NOW, None, NOW]


def test_scheduler_examines_a_whole_round_after_a_notification() -> None:
    scheduler, waiting = FairScheduler(), dict.fromkeys(candidates_in(LIMITED, *range(1, 11)), NOW)
    assert [skip_page(scheduler, waiting, page_size=4) for _ in range(2)] == [NOW, NOW]
    scheduler.reset_skips()
    assert [skip_page(scheduler, waiting, page_size=4) for _ in range(3)] == [NOW, NOW, None]


def test_scheduler_page_with_all_candidates_is_a_whole_round() -> None:
    later = NOW + timedelta(hours=1)
    assert (
        skip_page(FairScheduler(), dict.fromkeys(candidates_in(LIMITED, 1, 2), later), page_size=4)
        == later
    )
    assert skip_page(FairScheduler(), {}, page_size=4) is None


some_sub_queues = st.builds(
    SubQueue, limited=st.booleans(), queue=st.sampled_from(["", "q", "r"]), is_root=st.booleans()
)
some_candidates = st.lists(
    st.builds(Candidate, sub_queue=some_sub_queues, run=st.integers(1, 6).map(run)), unique=True
)
quotas = st.none() | st.integers(-1, 6)
some_queues = st.dictionaries(
    st.sampled_from(["q", "r"]), st.builds(QueueQuota, actions=quotas, runs=quotas)
)
some_runs = st.dictionaries(st.integers(1, 6).map(run), st.integers(-1, 6))


@given(some_candidates, st.integers(0, 40), some_queues, some_runs)
def test_allocate_exceeds_no_limit_and_wastes_no_slot(
    candidates: list[Candidate], most: int, queues: dict[str, QueueQuota], runs: dict[RunId, int]
) -> None:
    allocated = allocate(candidates, most=most, queues=queues, runs=runs).count
    assert sum(allocated.values()) <= most
    in_queue: Counter[str] = Counter()
    roots: Counter[str] = Counter()
    in_run: Counter[RunId] = Counter()
    for candidate, count in allocated.items():
        assert not candidate.sub_queue.is_root or count == 1
        if candidate.sub_queue.limited:
            in_queue[candidate.sub_queue.queue] += count
            if candidate.sub_queue.is_root:
                roots[candidate.sub_queue.queue] += count
            else:
                in_run[candidate.run] += count
    for name, quota in queues.items():
        assert quota.actions is None or in_queue[name] <= max(0, quota.actions)
        assert quota.runs is None or roots[name] <= max(0, quota.runs)
    assert all(in_run[of] <= max(0, remaining) for of, remaining in runs.items())
    if sum(allocated.values()) < most:  # then no candidate could have had more
        assert all(
            candidate.sub_queue.limited or candidate.sub_queue.is_root for candidate in candidates
        )


@given(some_candidates, st.integers(1, 5))
def test_scheduler_serves_every_candidate_once_per_round(
    candidates: list[Candidate], most: int
) -> None:
    """No candidate is served twice before all are served once, however few slots a claim has."""
    scheduler, sub_queues = (
        FairScheduler(),
        sorted({candidate.sub_queue for candidate in candidates}),
    )
    served: Counter[Candidate] = Counter()
    for _ in range(-(-len(candidates) // most)):
        order = [
            candidate
            for key_range in scheduler.key_ranges(0, sub_queues)
            for candidate in sorted(candidates)
            if candidate.sub_queue == key_range.sub_queue
            and key_range.after < candidate.run <= key_range.until
        ]
        assert sorted(order) == sorted(candidates)
        for candidate in order[:most]:
            served[candidate] += 1
            scheduler.mark_dispatched(0, candidate)
    assert set(served) == set(candidates)


def handover(
    candidate: Candidate, parent: int, *, in_queue: bool = False, in_run: bool = False
) -> Handover:
    return Handover(
        candidate=candidate,
        parent=ActionId(UUID(int=parent)),
        in_queue=in_queue,
        in_run=in_run,
        available_at=NOW,
    )


def test_handover_needs_no_quota_in_the_limit_of_its_parents_slot() -> None:
    [candidate] = candidates_in(LIMITED, 1)
    full, short = {"q": QueueQuota(actions=0)}, {run(1): 0}
    both = handover(candidate, 7, in_queue=True, in_run=True)
    shares = allocate([candidate], most=9, queues=full, runs=short, handovers=[both])
    assert (shares.handovers, shares.count, shares.last) == ([both], {}, candidate)

    in_queue, in_run = handover(candidate, 7, in_queue=True), handover(candidate, 7, in_run=True)
    assert not allocate(
        [candidate], most=9, queues=full, runs=short, handovers=[in_queue]
    ).handovers
    assert not allocate([candidate], most=9, queues=full, runs=short, handovers=[in_run]).handovers
    assert allocate([candidate], most=9, queues=full, runs={}, handovers=[in_queue]).handovers
    assert allocate([candidate], most=9, queues={}, runs=short, handovers=[in_run]).handovers == [
        in_run
    ]


def test_handover_of_one_limit_uses_quota_of_the_other() -> None:
    [candidate] = candidates_in(LIMITED, 1)
    waiting = [handover(candidate, parent, in_queue=True) for parent in range(5)]
    shares = allocate(
        [candidate],
        most=9,
        queues={"q": QueueQuota(actions=0)},
        runs={run(1): 2},
        handovers=waiting,
    )
    assert (shares.handovers, shares.count) == (waiting[:2], {})


def test_handover_of_a_parents_slot_in_its_run_happens_once() -> None:
    first, second = Candidate(LIMITED, run(1)), Candidate(SubQueue(True, "r", False), run(1))
    waiting = [handover(candidate, 7, in_run=True) for candidate in (first, second)]
    shares = allocate([first, second], most=9, queues={}, runs={run(1): 0}, handovers=waiting)
    assert shares.handovers == waiting[:1]


def test_handovers_of_one_run_alternate_with_other_runs() -> None:
    candidates = candidates_in(LIMITED, 1, 2)
    waiting = [handover(candidates[0], parent, in_queue=True) for parent in range(5)]
    shares = allocate(
        candidates, most=4, queues={"q": QueueQuota(actions=9)}, runs={}, handovers=waiting
    )
    assert (shares.handovers, shares.count) == (waiting[:2], {candidates[1]: 2})


def test_scheduler_sorts_candidates_in_the_order_of_its_key_ranges() -> None:
    scheduler, candidates = (
        FairScheduler(),
        [*candidates_in(CHILDREN, 1, 2), *candidates_in(LIMITED, 1, 2)],
    )
    assert scheduler.in_order(0, reversed(candidates)) == candidates
    scheduler.mark_dispatched(0, candidates[1])
    assert scheduler.in_order(0, candidates) == [*candidates[2:], *candidates[:2]]
