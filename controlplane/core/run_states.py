"""States of runs that people set, and the reason of a hold. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controlplane.core.errors import InvalidError

MAX_RUNS = 200
"""Runs whose state one request sets."""
_MAX_REASON = 500


class RunState(StrEnum):
    """An archived run is as it was; lists may leave it out."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMarks:
    """Notes of people on a run: since when it is archived (None: it is not), and whether one holds it."""

    archived_at: datetime | None = None
    archived_by: str = ""
    held: bool = False


NO_MARKS = RunMarks()
# FlyteAdmin's ExecutionState, by name and by number, and the plain names.
_STATES: Mapping[str, RunState] = {
    "active": RunState.ACTIVE,
    "execution_active": RunState.ACTIVE,
    "0": RunState.ACTIVE,
    "archived": RunState.ARCHIVED,
    "execution_archived": RunState.ARCHIVED,
    "1": RunState.ARCHIVED,
}


def parse_state(text: str) -> RunState:
    """Parse a state, in any case; InvalidError."""
    found = _STATES.get(text.lower())
    if found is None:
        raise InvalidError(f"state: {text[:80]!r} is not known; send active or archived")
    return found


def parse_reason(text: str) -> str:
    """Parse the reason of a hold, one line of at most 500 characters; InvalidError."""
    reason = text.strip()
    if not reason:
        raise InvalidError("reason: is required; say who needs the run, and for how long")
    if len(reason) > _MAX_REASON or not reason.isprintable():
        raise InvalidError(
            f"reason: send one line of at most {_MAX_REASON} characters, not {len(reason)}"
        )
    return reason
