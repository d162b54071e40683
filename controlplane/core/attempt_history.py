"""Records of attempts with their leases, and groups of failures by cause. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.action_timings import RefusedReport, ReturnedLease
from controlplane.core.attempts import BY_CONTROL_PLANE
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

MOST_EXAMPLES = 10
"""Names of actions in a group of failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """
    One attempt as stored, with the leases of it that went back and the reports that were refused.

    ``epoch`` is of the cluster's session that got the lease, 0 for attempts of earlier releases;
    ``aborted_by`` is set if the attempt ended because its action was aborted.
    """

    number: int
    phase: Phase
    cluster: str
    epoch: int
    lease: str
    available_at: datetime
    leased_at: datetime
    accepted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    failure: Failure | None
    aborted_by: str
    returned: Sequence[ReturnedLease] = ()
    refused: Sequence[RefusedReport] = ()

    @property
    def is_revoked(self) -> bool:
        """Whether the control plane ended it in place of its agent, and revoked the lease."""
        return self.failure is not None and self.failure.code in BY_CONTROL_PLANE

    @property
    def ended_by(self) -> str:
        """Return who ended it, for people; "" if it has not ended."""
        if self.ended_at is None:
            return ""
        if self.is_revoked:
            return "control plane"
        if self.phase is Phase.ABORTED and self.aborted_by:
            return self.aborted_by
        return f"cluster {self.cluster}"

    @property
    def charged(self) -> FailureKind | None:
        """Return whose retry budget its failure charged; None if it did not fail."""
        if self.failure is None or self.phase not in {Phase.FAILED, Phase.TIMED_OUT}:
            return None
        return self.failure.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures of one cause: the same kind, code, and message apart from numbers and ids."""

    kind: FailureKind
    code: str
    message: str
    attempts: int
    actions: int
    ended: int  # actions that ended with it; the other attempts were retried
    first_at: datetime
    last_at: datetime
    examples: Sequence[str]
