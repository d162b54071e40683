from dataplane.agent.core.held import News, draw_up
from shared.model.phases import Phase
from tests.unit.agent.assignments import NOW, make_held

PULLING = News(phase=Phase.INITIALIZING, reason="Pulling")


def test_a_phase_that_is_known_is_no_news() -> None:
    held, first = draw_up(make_held(), PULLING, NOW)
    assert first is not None
    again, second = draw_up(held, PULLING, NOW)
    assert second is None
    assert again == held


def test_another_reason_for_the_same_phase_is_news() -> None:
    held, _ = draw_up(make_held(), PULLING, NOW)
    held, report = draw_up(held, News(phase=Phase.INITIALIZING, reason="BackOff"), NOW)
    assert report is not None
    assert (report.version, report.reason) == (2, "BackOff")


def test_a_known_phase_without_a_reason_is_no_news() -> None:
    held, _ = draw_up(make_held(), PULLING, NOW)
    _, report = draw_up(held, News(phase=Phase.INITIALIZING), NOW)
    assert report is None


def test_nothing_is_said_of_an_attempt_that_is_over() -> None:
    held, _ = draw_up(make_held(), News(phase=Phase.FAILED), NOW)
    _, report = draw_up(held, News(phase=Phase.FAILED, reason="again"), NOW)
    assert report is None


def test_what_cannot_follow_is_not_reported() -> None:
    held, _ = draw_up(make_held(), News(phase=Phase.RUNNING), NOW)
    _, report = draw_up(held, PULLING, NOW)
    assert report is None
