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


def test_phase_table_has_every_phase() -> None:
    assert set(NEXT) == set(Phase) - {Phase.UNKNOWN}


@given(phases)
def test_phase_unknown_has_no_transitions(phase: Phase) -> None:
    for current, reported in ((Phase.UNKNOWN, phase), (phase, Phase.UNKNOWN)):
        if current not in TERMINAL:
            with pytest.raises(UnlawfulPhaseError):
                advance(current, reported)


def test_terminal_phases_match_flyte() -> None:
    assert {
        Phase.SUCCEEDED,
        Phase.FAILED,
        Phase.ABORTED,
        Phase.TIMED_OUT,
        Phase.RECOVERED,
    } == TERMINAL


def test_retry_is_allowed_from_live_phases_only() -> None:
    assert not RETRIED_FROM & TERMINAL
    assert Phase.PAUSED not in RETRIED_FROM


@pytest.mark.parametrize("live", sorted(set(NEXT) - TERMINAL), ids=lambda phase: phase.name)
def test_live_phase_may_end_in_any_way_but_recovery(live: Phase) -> None:
    assert TERMINAL - {Phase.RECOVERED} <= NEXT[live]


@given(phases, phases)
def test_terminal_phase_is_final(current: Phase, reported: Phase) -> None:
    if current in TERMINAL:
        assert advance(current, reported) is current


@given(phases)
def test_repeated_phase_changes_nothing(phase: Phase) -> None:
    assert advance(phase, phase) is phase


@given(phases, phases)
def test_phase_transition_outside_the_table_is_an_error(current: Phase, reported: Phase) -> None:
    if reported in NEXT[current]:
        assert advance(current, reported) is reported
    elif reported is not current and current not in TERMINAL:
        with pytest.raises(UnlawfulPhaseError, match=f"{reported.name} cannot follow"):
            advance(current, reported)


@given(st.lists(phases))
def test_phase_history_never_leaves_terminal_or_returns_to_queued(reported: list[Phase]) -> None:
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
