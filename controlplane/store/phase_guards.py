"""
Generates SQL conditions from the phase table, so that SQL and Python allow the same changes.

Statements below ``store`` change a phase only ``WHERE`` one of these conditions holds; a row that
another transaction changed first is left alone.
"""

from shared.model.phases import NEXT, RETRIED_FROM, SUCCESSES, TERMINAL

_PAIRS = ", ".join(
    f"({phase.value},{next_steps.value})"
    for phase in NEXT
    for next_steps in sorted(NEXT[phase] | ({phase} - TERMINAL))
)
_RETRIED_FROM = ", ".join(str(phase.value) for phase in sorted(RETRIED_FROM))
_SUCCESSES = ", ".join(str(phase.value) for phase in sorted(SUCCESSES))
_TERMINAL = ", ".join(str(phase.value) for phase in sorted(TERMINAL))


def may_become(current: str, next_steps: str) -> str:
    """Return SQL for "``next_steps`` may follow ``current``, or repeats a phase that is live"."""
    return f"({current}, {next_steps}) IN ({_PAIRS})"


def may_be_retried(current: str) -> str:
    """Return SQL for "an action in ``current`` may return to QUEUED with its next attempt"."""
    return f"{current} IN ({_RETRIED_FROM})"


def unestimated(condition: str) -> str:
    """
    Rewrite a condition so that the planner estimates that it holds for half of the rows.

    Use it for conditions on the table that a set is joined with. By missing or old statistics
    the planner estimates that such a condition holds for no row, and then joins each row of
    the set with each row of the table.
    """
    return f"CASE WHEN {condition} THEN true ELSE false END"


def has_ended(current: str) -> str:
    return f"{current} IN ({_TERMINAL})"


def has_succeeded(current: str) -> str:
    return f"{current} IN ({_SUCCESSES})"


def is_live(current: str) -> str:
    return f"{current} NOT IN ({_TERMINAL})"
