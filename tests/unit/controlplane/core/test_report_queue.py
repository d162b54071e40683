"""Queue of reports and acceptances until they are committed."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from controlplane.core import report_queue
from controlplane.core.report_queue import LOCK_RETRY, POLL_INTERVAL, ReportQueue
from shared.model.ids import ActionId, AttemptId, LeaseId
from shared.model.link_messages import Lease
from shared.model.phases import Phase
from shared.model.reports import Report
from tests.factories import NOW


def make_lease(number: int) -> Lease:
    return Lease(AttemptId(ActionId(UUID(int=number)), 1), LeaseId(UUID(int=number)))


def make_reports(count: int) -> Sequence[Report]:
    lease = make_lease(1)
    return [
        Report(attempt=lease.attempt, lease=lease.id, version=n, phase=Phase.RUNNING, at=NOW)
        for n in range(1, count + 1)
    ]


def test_report_queue_that_is_empty_commits_nothing() -> None:
    queue = ReportQueue()
    assert queue.next_commit() is None
    assert (queue.has_new, queue.is_full, queue.pause) == (False, False, POLL_INTERVAL)


def test_commit_has_all_acceptances_and_a_bounded_number_of_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_queue, "REPORTS_PER_COMMIT", 2)
    queue, reports = ReportQueue(), make_reports(3)
    queue.accept([make_lease(number) for number in range(5)])
    queue.report(reports)
    commit = queue.next_commit()
    assert commit is not None
    assert [lease.bytes[-1] for _, lease in commit.accepted] == [0, 1, 2, 3, 4]
    assert commit.reports == reports[:2]
    queue.committed([])
    commit = queue.next_commit()
    assert commit is not None
    assert (commit.accepted, commit.reports) == ([], reports[2:])


def test_locked_reports_are_committed_again_before_later_ones() -> None:
    queue, reports = ReportQueue(), make_reports(3)
    queue.report(reports[:2])
    queue.next_commit()
    queue.committed(reports[:2])
    assert (queue.has_new, queue.pause) == (False, LOCK_RETRY)
    queue.report(reports[2:])
    commit = queue.next_commit()
    assert commit is not None
    assert commit.reports == reports


@given(st.lists(st.sampled_from(["report", "take", "commit", "lock"]), max_size=40))
def test_report_queue_commits_every_report_in_order(steps: Sequence[str]) -> None:
    queue, added, committed = ReportQueue(), 0, list[Report]()
    reports = make_reports(len(steps))
    taken: Sequence[Report] = ()
    for step in steps:
        if step == "report":
            queue.report([reports[added]])
            added += 1
        elif step == "take" and not taken:
            commit = queue.next_commit()
            taken = commit.reports if commit else ()
        elif step == "commit" and taken:
            committed.extend(taken)
            queue.committed([])
            taken = ()
        elif step == "lock" and taken:
            queue.committed(taken)
            taken = ()
    if taken:
        committed.extend(taken)
        queue.committed([])
    while (commit := queue.next_commit()) is not None:
        committed.extend(commit.reports)
        queue.committed([])
    assert committed == reports[:added]


def test_report_queue_is_full_until_what_is_being_committed_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_queue, "MAX_UNCOMMITTED", 2)
    queue = ReportQueue()
    queue.report(make_reports(2))
    observed = [queue.is_full]
    queue.accept([make_lease(1)])
    observed.append(queue.is_full)
    queue.next_commit()
    observed.append(queue.is_full)
    queue.committed(make_reports(1))
    observed.append(queue.is_full)
    assert observed == [False, True, True, False]
