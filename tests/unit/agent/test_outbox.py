"""Tests of the outbox: reports leave it when they are acknowledged, not when they are sent."""

from datetime import timedelta

from hypothesis import given, strategies as st

from dataplane.agent.core import link_limits
from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate, next_report
from dataplane.agent.core.outbox import Outbox
from shared.model.phases import Phase
from shared.model.reports import Acknowledgement, AckStatus, Failure, FailureKind, Report
from tests.unit.agent.assignments import NOW, make_active


def make_reports(number: int, *phases: Phase) -> list[Report]:
    active = make_active(number)
    reports = []
    for phase in phases:
        active, report = next_report(active, StatusUpdate(phase=phase), NOW)
        assert report is not None
        reports.append(report)
    return reports


def acknowledge(report: Report) -> Acknowledgement:
    return Acknowledgement(report.attempt, report.version, AckStatus.APPLIED)


def test_outbox_sends_reports_once_per_session_in_order() -> None:
    outbox = Outbox()
    reports = make_reports(1, Phase.INITIALIZING, Phase.RUNNING)
    outbox.add(reports)

    assert outbox.take() == reports
    assert outbox.take() == []


def test_outbox_resends_unacknowledged_reports_in_new_session() -> None:
    outbox = Outbox()
    first, second = make_reports(1, Phase.INITIALIZING, Phase.RUNNING)
    outbox.add([first, second])
    outbox.take()
    outbox.acknowledge(acknowledge(first))

    outbox.rewind()
    assert outbox.take() == [second]


def test_length_of_the_outbox_is_the_number_of_unacknowledged_reports() -> None:
    outbox = Outbox()
    first, second = make_reports(1, Phase.INITIALIZING, Phase.RUNNING)
    outbox.add([first, second, *make_reports(2, Phase.RUNNING)])
    outbox.take()
    assert len(outbox) == 3
    outbox.acknowledge(acknowledge(second))
    assert len(outbox) == 1


def test_outbox_ends_attempt_on_acknowledged_terminal_report() -> None:
    outbox = Outbox()
    first, last = make_reports(1, Phase.RUNNING, Phase.SUCCEEDED)
    outbox.add([first, last])

    assert not outbox.acknowledge(acknowledge(first))
    assert outbox.acknowledge(acknowledge(last))
    assert not outbox.acknowledge(acknowledge(last))


def test_acknowledgement_covers_all_earlier_versions() -> None:
    outbox = Outbox()
    reports = make_reports(1, Phase.INITIALIZING, Phase.RUNNING, Phase.FAILED)
    outbox.add(reports)

    assert outbox.acknowledge(acknowledge(reports[-1]))
    assert outbox.take() == []


def test_outbox_frame_is_bounded() -> None:
    outbox = Outbox()
    for number in range(1, link_limits.FRAME_ITEMS + 11):
        outbox.add(make_reports(number, Phase.RUNNING))

    assert len(outbox.take()) == link_limits.FRAME_ITEMS
    assert len(outbox.take()) == 10


def test_outbox_large_reports_make_smaller_frames() -> None:
    outbox = Outbox()
    failure = Failure(code="X", kind=FailureKind.USER, message="x" * (link_limits.FRAME_BYTES // 3))
    for number in range(1, 8):
        _, report = next_report(
            make_active(number), StatusUpdate(phase=Phase.FAILED, failure=failure), NOW
        )
        assert report is not None
        outbox.add([report])

    sizes = [len(outbox.take()) for _ in range(5)]
    assert sum(sizes) == 7
    assert max(sizes) == 2


def test_outbox_in_flight_is_bounded_until_acknowledged() -> None:
    outbox = Outbox()
    for number in range(1, link_limits.REPORTS_IN_FLIGHT + 2):
        outbox.add(make_reports(number, Phase.RUNNING))
    sent: list[Report] = []
    while taken := outbox.take():
        sent += taken
    assert len(sent) == link_limits.REPORTS_IN_FLIGHT

    outbox.acknowledge(acknowledge(sent[0]))
    assert len(outbox.take()) == 1


def test_outbox_does_not_send_dropped_reports() -> None:
    outbox = Outbox()
    reports = make_reports(1, Phase.RUNNING)
    outbox.add(reports)
    outbox.drop(reports[0].attempt)

    assert outbox.take() == []


@given(st.lists(st.sampled_from(Phase), max_size=12))
def test_report_versions_count_from_one_without_gaps(phases: list[Phase]) -> None:
    active = make_active()
    reports = []
    for phase in phases:
        active, report = next_report(active, StatusUpdate(phase=phase), NOW + timedelta(seconds=1))
        if report is not None:
            reports.append(report)

    assert [report.version for report in reports] == list(range(1, len(reports) + 1))
    assert active == ActiveAttempt(
        assignment=active.assignment,
        accepted_at=active.accepted_at,
        version=len(reports),
        phase=reports[-1].phase if reports else Phase.QUEUED,
    )
    assert sum(report.phase.name in _ENDS for report in reports) <= 1


_ENDS = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED"}
