"""
SQL made from the phase table, so that Postgres and Python agree on what may follow what.

Statements below ``store`` change a phase only ``WHERE`` one of these holds; a row that
somebody else moved first is left alone.
"""

from shared.model.phases import NEXT, RETRIED_FROM, TERMINAL

_PAIRS = ", ".join(
    f"({phase.value},{next_steps.value})"
    for phase in NEXT
    for next_steps in sorted(NEXT[phase] | ({phase} - TERMINAL))
)
_RETRIED_FROM = ", ".join(str(phase.value) for phase in sorted(RETRIED_FROM))
_TERMINAL = ", ".join(str(phase.value) for phase in sorted(TERMINAL))


def may_become(current: str, next_steps: str) -> str:
    """Say in SQL that ``next_steps`` may come after ``current``, or repeats what is not over."""
    return f"({current}, {next_steps}) IN ({_PAIRS})"


def may_be_retried(current: str) -> str:
    """Say in SQL that an action in ``current`` may return to QUEUED with its next attempt."""
    return f"{current} IN ({_RETRIED_FROM})"


def unestimated(condition: str) -> str:
    """
    Say a condition so that Postgres takes it to hold for half of the rows.

    It is for conditions on the table that a set is joined with. Estimated by statistics that
    are missing or old, such a condition holds for no row, and the plan then joins each row of
    the set with each row of the table.
    """
    return f"CASE WHEN {condition} THEN true ELSE false END"


def has_ended(current: str) -> str:
    return f"{current} IN ({_TERMINAL})"


def is_live(current: str) -> str:
    return f"{current} NOT IN ({_TERMINAL})"
