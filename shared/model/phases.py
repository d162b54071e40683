"""
Phases of actions and attempts, and the table of allowed transitions.

The numbers are flyteidl2's ``ActionPhase``, because lists are filtered and sorted by
them. All code that changes a phase uses :func:`advance`, or the SQL guard that
``controlplane.store.phase_guards`` generates from :data:`NEXT`. Terminal is final: a retry is
a new attempt, and the action returns to QUEUED in the transaction that ended the old one
(allowed from the phases in :data:`RETRIED_FROM`).
"""

from collections.abc import Mapping
from enum import IntEnum


class Phase(IntEnum):
    UNKNOWN = 0
    """Read from a row that a later release wrote; never written, and without transitions."""
    QUEUED = 1
    WAITING_FOR_RESOURCES = 2
    INITIALIZING = 3
    RUNNING = 4
    SUCCEEDED = 5
    FAILED = 6
    ABORTED = 7
    TIMED_OUT = 8
    PAUSED = 9
    RECOVERED = 10


SUCCESSES = frozenset({Phase.SUCCEEDED, Phase.RECOVERED})
"""The phases of success. Compare with this, not with SUCCEEDED: a recovered action succeeded too."""

_ENDS = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT})

NEXT: Mapping[Phase, frozenset[Phase]] = {
    Phase.QUEUED: _ENDS
    | {Phase.WAITING_FOR_RESOURCES, Phase.INITIALIZING, Phase.RUNNING, Phase.RECOVERED},
    Phase.WAITING_FOR_RESOURCES: _ENDS | {Phase.INITIALIZING, Phase.RUNNING},
    Phase.INITIALIZING: _ENDS | {Phase.RUNNING},
    Phase.RUNNING: _ENDS,
    Phase.PAUSED: _ENDS,
    Phase.SUCCEEDED: frozenset(),
    Phase.FAILED: frozenset(),
    Phase.ABORTED: frozenset(),
    Phase.TIMED_OUT: frozenset(),
    Phase.RECOVERED: frozenset(),
}

TERMINAL = frozenset(phase for phase, allowed in NEXT.items() if not allowed)

RETRIED_FROM = frozenset(NEXT) - TERMINAL - {Phase.PAUSED}
"""Phases from which an action may return to QUEUED, with attempt + 1."""


class UnlawfulPhaseError(Exception):
    """The reported phase is no allowed transition from the current one."""

    def __init__(self, current: Phase, reported: Phase) -> None:
        super().__init__(f"{reported.name} cannot follow {current.name}")
        self.current = current
        self.reported = reported


def advance(current: Phase, reported: Phase) -> Phase:
    """
    Return the phase after a report; a repeated or late report leaves it unchanged.

    Raises UnlawfulPhaseError for a transition that :data:`NEXT` does not allow.
    """
    if reported in NEXT.get(current, ()):
        return reported
    if reported is current or current in TERMINAL:
        return current
    raise UnlawfulPhaseError(current, reported)
