"""Findings after a restore: attempts that the database has forgotten, or that no agent has. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.model.ids import ActionKey, AttemptId, ClusterName, LeaseId


class FindingKind(StrEnum):
    """Kinds of findings about attempts, when an agent reports its inventory after a restore."""

    UNKNOWN = "unknown"  # read from a row that a later release wrote
    ADOPTED = "adopted"  # leased after the backup: its lease was taken over, and its result will be
    STOPPED = "stopped"  # of an action that the copy does not have, or that it says has ended
    MISSING = "missing"  # the copy says that the cluster has it, and its agent does not
    FINISHED = "finished"  # its outputs lie in the bucket: the action has succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Finding about one attempt."""

    kind: FindingKind
    attempt: AttemptId
    lease: LeaseId
    cluster: ClusterName
    found_at: datetime
    action: ActionKey | None = None  # None: the copy does not have it


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredCluster:
    """A cluster that leases no work since a restore."""

    name: ClusterName
    restored_at: datetime
    reconciled_at: datetime | None  # when its agent reported its inventory; None: not yet
    leased: int  # attempts that the database says it has


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDispatch:
    """An action that the copy says is waiting, or is with an agent that does not have it."""

    attempt: AttemptId
    action: ActionKey
    run_base: str
    lease: LeaseId | None
    cluster: ClusterName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """State of one org after a restore."""

    clusters: Sequence[RestoredCluster]  # that still lease no work
    findings: Sequence[Finding]
    is_complete: bool  # whether ``findings`` are all
