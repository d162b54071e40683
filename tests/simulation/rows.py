"""Rows of the model of Postgres, and the assignments made of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.core import attempts as rules
from controlplane.core.actions import RetryPolicy
from controlplane.core.layout import output_prefix
from shared.model.assignments import Assignment
from shared.model.ids import ActionId, ActionKey, AttemptId, ClusterName, Digest, LeaseId
from shared.model.phases import Phase
from tests.factories import ORG

RUN_SPEC = Digest(hashlib.sha256(b"").digest())
"""The digest of the run's empty settings, whose serialised message is empty."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The session (epoch) of a cluster that makes a request."""

    cluster: ClusterName
    number: int


@dataclass(slots=True, kw_only=True)
class Action:
    id: ActionId
    key: ActionKey
    parent: ActionId | None
    policy: RetryPolicy
    spec: Digest
    phase: Phase = Phase.QUEUED
    attempts: int = 1


@dataclass(slots=True, kw_only=True)
class Dispatch:
    action: ActionId
    available_at: datetime
    attempt: int = 1
    lease: LeaseId | None = None
    cluster: ClusterName | None = None
    leased_at: datetime | None = None
    accepted: bool = False
    missing_since: timedelta | None = None
    stop_reason: str | None = None
    failures: rules.Failures = field(default_factory=rules.Failures)


@dataclass(slots=True)
class Attempt:
    state: rules.AttemptState
    lease: LeaseId


@dataclass(slots=True)
class Cluster:
    epoch: int = 0
    connected: bool = False
    seen_served: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Lapse:
    """An expired lease."""

    attempt: AttemptId
    lease: LeaseId
    missing: bool


def render_assignment(
    action: Action,
    attempt: AttemptId,
    lease: LeaseId,
    actions: Mapping[ActionId, Action],
    now: datetime,
) -> Assignment:
    """Return the assignment for the agent."""
    base = f"file:///blobs/{action.key.run.name}"
    parent = None if action.parent is None else actions[action.parent].key.name
    return Assignment(
        org=ORG,
        key=action.key,
        attempt=attempt,
        lease=lease,
        parent=parent,
        task_type="python",
        task_spec=action.spec,
        run_spec=RUN_SPEC,
        input_uri=f"{base}/{action.key.name}/inputs.pb",
        run_base=base,
        output_prefix=output_prefix(base, action.key.name, attempt.number),
        previous_output_prefix="",
        raw_data_prefix=base,
        run_started_at=now,
        replaceable=action.policy.replaceable,
    )
