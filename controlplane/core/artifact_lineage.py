"""Lineage of artifacts: the runs that took a version as an input, and what a run took and published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.artifacts import ArtifactKey
from shared.model.ids import ActionName, RunId, RunKey

MAX_INPUT_ARTIFACTS = 100
"""Versions among the inputs of one run that are recorded."""
MAX_PRODUCED_SHOWN = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A run that took a version as an input of its root."""

    id: RunId
    run: RunKey
    task: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArtifacts:
    """Versions that a run took, and those that its actions published."""

    consumed: Sequence[ArtifactKey]
    produced: Sequence[tuple[ArtifactKey, ActionName]]
    partial: bool  # it published more
