"""
Tests that statements on dispatches and attempts use their indexes on large tables: claims, leases,
reports, enqueues, aborts.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.inventory import LeaseRecord
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.dispatch import dispatches
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.admit import Enqueue, Enqueued
from controlplane.store.dispatch.cascades import EXAMINED, PAGE, end_page
from controlplane.store.dispatch.claim import Claimed, claim
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.dispatch.timeouts import list_due
from controlplane.store.resources import queues
from shared.kit.uuids import new_uuid
from shared.model.ids import (
    ROOT,
    ActionId,
    ActionName,
    AttemptId,
    LeaseId,
    OrgName,
    RunId,
)
from shared.model.phases import Phase
from shared.model.reports import AckStatus, Report
from tests.factories import NOW, ORG, make_new_action
from tests.integration.store.large import CLUSTER, WIDE, Large, filled, large

__all__ = ["filled", "large"]


def child(number: int) -> ActionId:
    return ActionId(UUID(hex=hashlib.md5(f"acme/1/c{number}".encode()).hexdigest()))  # noqa: S324


def reports_of(held: Sequence[LeaseRecord], phase: Phase) -> list[Report]:
    return [
        Report(attempt=each.attempt, lease=each.lease, version=1, phase=phase, at=NOW)
        for each in held
    ]


async def held_by(tx: OrgTx, most: int) -> list[LeaseRecord]:
    leases = await dispatches.lock_leases(tx, CLUSTER)
    of_others = [each for each in leases.values() if each.attempt.action != WIDE]
    return of_others[:most]


async def test_claim_reads_pages_of_its_leases_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        found = await claim(tx, CLUSTER, "", scheduler=FairScheduler(), most=50, now=NOW)
        assert len(found.assignments) == 50

    (await large.count_pages(work)).assert_few(50 * 60)


async def test_claim_under_limits_reads_pages_of_its_leases_and_counts_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        found = await claim(tx, CLUSTER, "narrow", scheduler=FairScheduler(), most=50, now=NOW)
        assert len(found.assignments) == 50

    (await large.count_pages(work)).assert_few(50 * 70)


async def test_claim_reads_few_pages_when_no_work_is_available(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        found = await claim(
            tx, CLUSTER, "another pool", scheduler=FairScheduler(), most=50, now=NOW
        )
        assert found == Claimed()

    (await large.count_pages(work)).assert_few(40)


async def test_list_of_stops_reads_few_pages_among_many_leases(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        stops = await dispatches.list_stops(tx, CLUSTER)
        assert 0 < len(stops) < 1000

    (await large.count_pages(work)).assert_few(600)


async def test_reports_read_pages_of_their_attempts_only(large: Large) -> None:
    async with large.database.for_org(ORG) as tx:
        held = await held_by(tx, 50)
    assert len(held) == 50

    async def work(tx: OrgTx) -> None:
        answers = await apply_reports(tx, CLUSTER, reports_of(held, Phase.RUNNING), NOW)
        assert {each.status for each in answers} == {AckStatus.APPLIED}

    (await large.count_pages(work)).assert_few(50 * 80)


async def test_reports_of_ends_read_pages_of_their_attempts_only(large: Large) -> None:
    async with large.database.for_org(ORG) as tx:
        held = await held_by(tx, 50)

    async def work(tx: OrgTx) -> None:
        await apply_reports(tx, CLUSTER, reports_of(held, Phase.SUCCEEDED), NOW)

    (await large.count_pages(work)).assert_few(50 * 200)  # among them roots, with twenty children


async def test_refused_reports_read_pages_of_their_attempts_only(large: Large) -> None:
    stale = [
        Report(
            attempt=AttemptId(child(number), 1),
            lease=LeaseId(child(number)),
            version=1,
            phase=Phase.SUCCEEDED,
            at=NOW,
        )
        for number in range(1, 51)
    ]

    async def work(tx: OrgTx) -> None:
        assert len(await apply_reports(tx, CLUSTER, stale, NOW)) == 50

    (await large.count_pages(work)).assert_few(50 * 14)  # they are refused, and recorded


async def test_accept_reads_pages_of_its_leases_only(large: Large) -> None:
    async with large.database.for_org(ORG) as tx:
        held = await held_by(tx, 50)

    async def work(tx: OrgTx) -> None:
        leases = [(each.attempt, each.lease) for each in held]
        answer = await dispatches.accept(tx, CLUSTER, leases, NOW)
        assert len(answer.not_leased) == 0

    (await large.count_pages(work)).assert_few(50 * 20)


async def test_enqueue_below_a_wide_parent_reads_pages_of_new_actions_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        requests = [
            Enqueue(ActionId(new_uuid(NOW)), make_new_action(f"new{number}"))
            for number in range(50)
        ]
        assert set(await enqueue(tx, requests, NOW)) == {Enqueued.CREATED}

    (await large.count_pages(work)).assert_few(50 * 80)


async def test_repeated_enqueue_reads_pages_of_its_actions_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        requests = [
            Enqueue(ActionId(new_uuid(NOW)), make_new_action(f"c{number}"))
            for number in range(1, 51)
        ]
        assert set(await enqueue(tx, requests, NOW)) == {Enqueued.DIFFERENT}

    (await large.count_pages(work)).assert_few(50 * 40)


async def test_abort_of_a_leaf_reads_pages_of_the_leaf_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        leaf = ActionName("c40")
        assert await abort(tx, WIDE, leaf, reason="enough", by="someone", now=NOW) == 1

    (await large.count_pages(work)).assert_few(100)


async def test_abort_of_a_wide_run_reads_a_part_of_its_children(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert await abort(tx, WIDE, ROOT, reason="enough", by="someone", now=NOW) == 1

    (await large.count_pages(work)).assert_few((EXAMINED + PAGE) * 2)


async def test_page_of_a_cascade_reads_the_following_children_only(large: Large) -> None:
    async def work(tx: OrgTx) -> None:
        assert await abort(tx, WIDE, ROOT, reason="enough", by="someone", now=NOW) == 1
        for _ in range(3):
            assert await end_page(tx, WIDE, NOW) in range(EXAMINED // 25, PAGE)

    (await large.count_pages(work)).assert_few(4 * (EXAMINED + PAGE) * 2 + 3 * EXAMINED // 20 * 60)


async def test_passes_across_orgs_read_due_rows_only(large: Large) -> None:
    async def conditions(tx: FleetTx) -> None:
        after = (OrgName(""), RunId(UUID(int=0)))
        tomorrow = NOW + timedelta(days=1)
        assert list(await list_due(tx, after=after, most=500, now=tomorrow)) == []

    (await large.count_pages_of_fleet(conditions)).assert_few(20)


async def test_page_of_dispatches_that_follow_their_queue_reads_that_page_only(
    large: Large,
) -> None:
    async def work(tx: OrgTx) -> None:
        assert await queues.follow_page(tx, "", "", past=None) is not None

    async def move(tx: OrgTx) -> None:
        assert await queues.move_runs_page(tx, "", "other", past=None) is not None

    (await large.count_pages(work)).assert_few(queues.PAGE * 40)
    moved = await large.count_pages(move)  # most runs are in the page: their table may be scanned
    assert sum(moved.pages.values()) <= queues.PAGE * 20
