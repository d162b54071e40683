"""We test that the phase table is whole, and that everybody who asks it gets the same answer."""

import pytest
from hypothesis import given, strategies as st

from shared.model.phases import (
    NEXT,
    RETRIED_FROM,
    TERMINAL,
    Phase,
    UnlawfulPhaseError,
    advance,
)

phases = st.sampled_from(sorted(NEXT))


def test_every_phase_has_a_row() -> None:
    assert set(NEXT) == set(Phase) - {Phase.UNKNOWN}


@given(phases)
def test_unknown_phase_is_neither_left_nor_reported(phase: Phase) -> None:
    for current, reported in ((Phase.UNKNOWN, phase), (phase, Phase.UNKNOWN)):
        if current not in TERMINAL:
            with pytest.raises(UnlawfulPhaseError):
                advance(current, reported)


def test_what_is_terminal_is_what_flyte_calls_so() -> None:
    assert {
        Phase.SUCCEEDED,
        Phase.FAILED,
        Phase.ABORTED,
        Phase.TIMED_OUT,
        Phase.RECOVERED,
    } == TERMINAL


def test_only_a_live_attempt_is_tried_again() -> None:
    assert not RETRIED_FROM & TERMINAL
    assert Phase.PAUSED not in RETRIED_FROM


@pytest.mark.parametrize("live", sorted(set(NEXT) - TERMINAL), ids=lambda phase: phase.name)
def test_whatever_lives_can_end_in_every_way_but_recovery(live: Phase) -> None:
    assert TERMINAL - {Phase.RECOVERED} <= NEXT[live]


@given(phases, phases)
def test_terminal_is_final(current: Phase, reported: Phase) -> None:
    if current in TERMINAL:
        assert advance(current, reported) is current


@given(phases)
def test_a_repeated_phase_is_no_news(phase: Phase) -> None:
    assert advance(phase, phase) is phase


@given(phases, phases)
def test_a_phase_follows_if_the_table_says_so_and_is_an_error_otherwise(
    current: Phase, reported: Phase
) -> None:
    if reported in NEXT[current]:
        assert advance(current, reported) is reported
    elif reported is not current and current not in TERMINAL:
        with pytest.raises(UnlawfulPhaseError, match=f"{reported.name} cannot follow"):
            advance(current, reported)


@given(st.lists(phases))
def test_no_history_leads_out_of_an_end_or_back_to_the_queue(reported: list[Phase]) -> None:
    current, seen = Phase.QUEUED, [Phase.QUEUED]
    for phase in reported:
        try:
            current = advance(current, phase)
        except UnlawfulPhaseError:
            continue
        if current is not seen[-1]:
            seen.append(current)
    assert len(seen) == len(set(seen))  # no phase twice: there is no way round
    assert sum(phase in TERMINAL for phase in seen) <= 1
