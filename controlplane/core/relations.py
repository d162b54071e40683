"""
Relations between runs: reruns, recoveries, runs that a task started.

A run that recovers another takes over the outputs of its succeeded actions: an action with the
name, the parent and the type of one that succeeded there is its *counterpart*, and is recorded as
RECOVERED without running.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from controlplane.core.errors import InvalidError
from shared.model.ids import ActionName, Digest, RunId, RunKey, RunName
from shared.model.phases import SUCCESSES, TERMINAL, Phase

MOST_FORCED = 1_000
"""Most actions that a recovery may name to run again."""
_NAMED = 10  # unknown names in a message; the rest are counted


class RelationType(IntEnum):
    """Why a run refers to another, with flyteidl2's numbers."""

    NONE = 0  # also any value that this release does not know
    RERUN = 1
    RECOVER = 2
    SPAWN = 3
    TRIGGERED = 4
    ON_ARTIFACT = 5


@dataclass(frozen=True, slots=True)
class Relation:
    """Why a run was created from another of its project and domain; it never changes."""

    type: RelationType
    run: RunName


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterpart:
    """The succeeded action of the recovered run whose result an action takes over."""

    output_uri: str  # a task's output prefix
    value: bytes | None  # a condition's answer
    executed_in: RunName  # the run that executed it, along a chain of recoveries


@dataclass(frozen=True, slots=True)
class CheckedOutputs:
    """Whether the outputs of a counterpart were in the store when a client's request came."""

    uri: str
    exist: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """The run that another refers to, with the fields of its root action."""

    id: RunId
    key: RunKey
    phase: Phase
    spec: Digest
    input_uri: str
    root: Counterpart
    is_tracked: bool = False  # a program ran it, not a cluster

    @property
    def is_live(self) -> bool:
        return self.phase not in TERMINAL

    def recovers_root(self, spec: Digest, input_uri: str) -> bool:
        """Return whether a recovery with this task and these inputs has nothing left to run."""
        return self.phase in SUCCESSES and (spec, input_uri) == (self.spec, self.input_uri)


def require_known(unknown: Sequence[ActionName], source: RunKey) -> None:
    """InvalidError naming the actions to run again that the recovered run does not have."""
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise InvalidError(
            "run_spec.recover.force_rerun_actions: run"
            f" {source} has no actions {', '.join(sorted(unknown)[:_NAMED])}{more};"
            f" `flyte get action {source.name}` lists its actions"
        )
