"""
Triggers of artifacts: start a run for each version of an artifact that matches. PURE.

A version that is stored queues a firing for each trigger that matches it, in the same transaction. The
name of its run follows from the trigger and the version, so that each starts one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.artifacts import ArtifactKey, ArtifactRow
from controlplane.core.scoped_settings import Effective
from controlplane.core.triggers import TriggerKey, TriggerRow
from shared.model.ids import OrgName, RunKey, RunName

MOST_HOPS = 10
"""Runs in a row that triggers of artifacts may start, each by what the one before published."""
MOST_TRIES = 20
"""Tries of a firing that a full queue refuses, over about fifteen hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedFiring:
    """A version for which a trigger is to start a run."""

    org: OrgName
    trigger: TriggerKey
    artifact: ArtifactKey
    tries: int  # before this one
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueVersion:
    """A trigger and a version for which it starts a run, with what the run is built from."""

    row: TriggerRow
    artifact: ArtifactRow
    task_spec: bytes  # flyteidl2.task.TaskSpec
    effective: Effective  # settings of its project and domain
    inputs: bytes  # flyteidl2.task.Inputs of the trigger

    @property
    def matches(self) -> bool:
        """Return whether the trigger fires for the version; it may have changed meanwhile."""
        match, key = self.row.artifact, self.artifact.key
        return (
            match is not None
            and self.row.active
            and match.name == key.name.name
            and match.version in ("", key.version)
            and match.partitions.items() <= dict(self.artifact.partition.values).items()
        )


def name_run(org: OrgName, trigger: TriggerKey, artifact: ArtifactKey) -> RunKey:
    """Return the name of the run for a version: always the same, so that it is made once."""
    parts = [org, trigger.project, trigger.domain, trigger.task_name, trigger.name]
    parts += [artifact.name.name, artifact.version]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return RunKey(trigger.project, trigger.domain, RunName(f"a{digest[:19]}"))
