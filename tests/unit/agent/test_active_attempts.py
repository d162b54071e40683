from dataplane.agent.core.active_attempts import StatusUpdate, next_report
from shared.model.phases import Phase
from tests.unit.agent.assignments import NOW, make_active

PULLING = StatusUpdate(phase=Phase.INITIALIZING, reason="Pulling")


def test_repeated_phase_is_not_reported() -> None:
    active, first = next_report(make_active(), PULLING, NOW)
    assert first is not None
    again, second = next_report(active, PULLING, NOW)
    assert second is None
    assert again == active


def test_repeated_phase_with_new_reason_is_reported() -> None:
    active, _ = next_report(make_active(), PULLING, NOW)
    active, report = next_report(
        active, StatusUpdate(phase=Phase.INITIALIZING, reason="BackOff"), NOW
    )
    assert report is not None
    assert (report.version, report.reason) == (2, "BackOff")


def test_repeated_phase_without_reason_is_not_reported() -> None:
    active, _ = next_report(make_active(), PULLING, NOW)
    _, report = next_report(active, StatusUpdate(phase=Phase.INITIALIZING), NOW)
    assert report is None


def test_ended_attempt_is_not_reported_again() -> None:
    active, _ = next_report(make_active(), StatusUpdate(phase=Phase.FAILED), NOW)
    _, report = next_report(active, StatusUpdate(phase=Phase.FAILED, reason="again"), NOW)
    assert report is None


def test_forbidden_phase_transition_is_not_reported() -> None:
    active, _ = next_report(make_active(), StatusUpdate(phase=Phase.RUNNING), NOW)
    _, report = next_report(active, PULLING, NOW)
    assert report is None
