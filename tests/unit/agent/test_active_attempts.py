from dataplane.agent.core.active_attempts import StatusUpdate, next_report
from shared.model.phases import Phase
from tests.unit.agent.assignments import NOW, make_active

PULLING = StatusUpdate(phase=Phase.INITIALIZING, reason="Pulling")


def test_a_phase_that_is_known_is_no_news() -> None:
    active, first = next_report(make_active(), PULLING, NOW)
    assert first is not None
    again, second = next_report(active, PULLING, NOW)
    assert second is None
    assert again == active


def test_another_reason_for_the_same_phase_is_news() -> None:
    active, _ = next_report(make_active(), PULLING, NOW)
    active, report = next_report(
        active, StatusUpdate(phase=Phase.INITIALIZING, reason="BackOff"), NOW
    )
    assert report is not None
    assert (report.version, report.reason) == (2, "BackOff")


def test_a_known_phase_without_a_reason_is_no_news() -> None:
    active, _ = next_report(make_active(), PULLING, NOW)
    _, report = next_report(active, StatusUpdate(phase=Phase.INITIALIZING), NOW)
    assert report is None


def test_nothing_is_said_of_an_attempt_that_is_over() -> None:
    active, _ = next_report(make_active(), StatusUpdate(phase=Phase.FAILED), NOW)
    _, report = next_report(active, StatusUpdate(phase=Phase.FAILED, reason="again"), NOW)
    assert report is None


def test_what_cannot_follow_is_not_reported() -> None:
    active, _ = next_report(make_active(), StatusUpdate(phase=Phase.RUNNING), NOW)
    _, report = next_report(active, PULLING, NOW)
    assert report is None
