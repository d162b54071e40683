"""
Holds: what needs the data of a run, so that the run is not deleted.

A hold is read from the thing that needs the data (``store.dispatch.run_holds``), so it ends with that
thing, and none is left over. Only the hold of a person is stored on its own, in the row of the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controlplane.core.errors import NotReadyError
from shared.model.ids import RunKey
from shared.model.phases import TERMINAL, Phase

MOST_SHOWN = 20
"""Holders of one kind that are read and shown; a run may have more."""
_NAMED = 3  # holders of one kind in a message


class HoldKind(StrEnum):
    """Kinds of things that need the data of a run."""

    ARTIFACT = "artifact"  # a version that the run published
    ATTEMPT = "attempt"  # its cluster has not confirmed that it stopped
    CACHE_ENTRY = "cache_entry"
    CACHED_RESULT = "cached_result"  # an action of another run, whose outputs are the run's
    INPUTS = "inputs"  # of another run, which lie in this one's data
    PERSON = "person"  # who held it, until it is released
    RECOVERY = "recovery"  # another run, which took over what succeeded
    REGISTRATION = "registration"  # outputs that are still to be registered as artifacts


REMEDIES = {
    HoldKind.ARTIFACT: "delete the version",
    HoldKind.ATTEMPT: "its cluster has to stop it",
    HoldKind.CACHE_ENTRY: "delete the entry, or wait until it is unused",
    HoldKind.CACHED_RESULT: "delete that run",
    HoldKind.INPUTS: "delete that run",
    HoldKind.PERSON: "release the run",
    HoldKind.RECOVERY: "delete that run",
    HoldKind.REGISTRATION: "wait until it is registered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One thing that needs a run, by its name as users know it."""

    kind: HoldKind
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetention:
    """The deletion of a run: when it is due, whether it began, and what is in its way."""

    run: RunKey
    phase: Phase
    ended_at: datetime | None
    expires_at: datetime | None  # None: it has not ended, or runs are kept for ever
    purging_since: datetime | None  # set: its data is being deleted
    holds: Sequence[Hold] = ()


def require_purgeable(retention: RunRetention) -> None:
    """Raise NotReadyError, naming what is in the way, unless the run may be deleted."""
    run = retention.run
    if retention.phase not in TERMINAL:
        raise NotReadyError(
            f"run {run} has not ended ({retention.phase.name}); wait for its end or abort it"
            f" (`flyte abort run {run.name}`), then purge it"
        )
    if not retention.holds:
        return
    raise NotReadyError(f"run {run} is held, so it is not purged: {describe(retention.holds)}")


def describe(holds: Sequence[Hold]) -> str:
    """Return which things hold a run, by kind, with what ends each hold."""
    parts: list[str] = []
    for kind in HoldKind:
        names = [hold.holder for hold in holds if hold.kind is kind]
        if names:
            more = " and more" if len(names) > _NAMED else ""
            parts.append(
                f"{kind.value.replace('_', ' ')} {', '.join(names[:_NAMED])}{more}"
                f" ({REMEDIES[kind]})"
            )
    return "; ".join(parts)
