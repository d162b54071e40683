"""
Observe the pods that an operator created for a resource, to explain the resource's status.

An operator reports that its job failed, or is not running yet; the pods show why. The first pod
to fail is taken for the cause: later failures often only result from a lost peer.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes import failures, pending_reasons, statuses
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.pods.metadata import ROLE_LABEL
from dataplane.agent.runtimes.protocol import Job
from shared.model.reports import Failure, FailureKind

_OPERATOR_WITHIN = timedelta(minutes=1)  # time for an operator to set any status on a new resource
_LOOKED_AT = 32  # pods that have not started; of a thousand, the next are examined when these have
_NEVER = datetime.max.replace(tzinfo=UTC)
_UNTELLING = frozenset({"NonZeroExit", "Interrupted", "Crashed", "PodFailed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The pods of one attempt, in order of importance of their roles."""

    job: Job
    around: ObservationContext
    timeouts: PendingTimeouts
    roles: Sequence[str]  # the one whose log comes first, first; others after these

    @property
    def names(self) -> Sequence[str]:
        return [pod["metadata"]["name"] for pod in self._ordered]

    def running(self, message: str = "") -> Observation:
        return Observation(stage=Stage.RUNNING, message=message, log_pods=self.names)

    def succeeded(self) -> Observation:
        return Observation(stage=Stage.SUCCEEDED, log_pods=self.names)

    def preparing(self, stage: Stage, reason: str, message: str = "") -> Observation:
        """Return why the job does not run yet: a pod's pending reason, else the operator's."""
        not_begun = (
            pod
            for pod in self._ordered
            if not statuses.has_ended(pod) and statuses.began_at(pod) is None
        )
        # One reason is enough; this is evaluated again at every change to any of them.
        held = [
            (pod, pending_reasons.observe(pod, self.around, self.timeouts))
            for pod in islice(not_begun, _LOOKED_AT)
        ]
        for desired in (Stage.FAILED, Stage.QUEUED, Stage.INITIALIZING):
            for pod, seen in held:
                if seen.stage is desired and (seen.reason or seen.failure):
                    return replace(
                        seen,
                        message=_of(pod, seen.message),
                        failure=seen.failure and _with_pod(pod, seen.failure),
                        log_pods=self.names,
                    )
        return Observation(stage=stage, reason=reason, message=message, log_pods=self.names)

    def untouched(self, resource: Object, operator: str) -> Observation:
        """Observe a resource without status: its operator is slow, or not installed."""
        created = statuses.created_at(resource) or self.around.now
        doubtful_at = created + _OPERATOR_WITHIN
        if self._ordered or self.around.now < doubtful_at:
            seen = self.preparing(Stage.QUEUED, "WaitingForOperator", f"{operator} has it next")
            return replace(seen, observe_again_at=seen.observe_again_at or doubtful_at)
        return Observation(
            stage=Stage.QUEUED,
            reason="OperatorSilent",
            message=f"{operator} has not processed the {resource.get('kind', 'resource')} yet; check "
            "that it is installed, and that it watches this namespace",
        )

    def failed(self, failure: Failure) -> Observation:
        """
        Return why the job failed: from its pods, else ``failure``, as the operator reports
        it.
        """
        cause = self.cause() or failure
        return replace(pending_reasons.failed_with(cause), log_pods=self.names)

    def cause(self) -> Failure | None:
        """Return the failure of the pod that failed first."""
        found: list[tuple[tuple[datetime, bool], Failure]] = []
        for pod in self._ordered:
            seen = failures.observe(pod, self.around, interruptible=self.job.interruptible)
            if seen is not None and seen.stage is Stage.FAILED and seen.failure is not None:
                # The API's timestamps have whole seconds; on a tie, the more specific failure.
                when = (_ended_at(pod), seen.failure.code in _UNTELLING)
                found.append((when, _with_pod(pod, seen.failure)))
        return min(found, key=lambda each: each[0])[1] if found else None

    @property
    def _ordered(self) -> Sequence[Object]:
        return sorted(self.around.pods, key=self._rank)

    def _rank(self, pod: Object) -> tuple[int, Sequence[tuple[int, str]]]:
        role = (pod["metadata"].get("labels") or {}).get(ROLE_LABEL, "")
        place = self.roles.index(role) if role in self.roles else len(self.roles)
        return place, _naturally(pod["metadata"]["name"])


def current_condition(resource: Object, kinds: Iterable[str]) -> Object | None:
    """Return the first of ``kinds`` that is true among the resource's conditions."""
    conditions = {
        each.get("type"): each
        for each in (resource.get("status") or {}).get("conditions") or ()
        if each.get("status") == "True"
    }
    return next((conditions[kind] for kind in kinds if kind in conditions), None)


def operator_failure(code: str, text: str, kind: FailureKind = FailureKind.USER) -> Failure:
    """Return the failure to report where no pod shows a cause."""
    return Failure(code=code, kind=kind, message=text.strip() or "its operator reports no reason")


def _ended_at(pod: Object) -> datetime:
    ended = statuses.terminated(statuses.container_status(pod, statuses.primary_of(pod)))
    return statuses.parse_timestamp(ended.get("finishedAt")) or _NEVER


def _with_pod(pod: Object, failure: Failure) -> Failure:
    return replace(failure, message=_of(pod, failure.message))


def _of(pod: Object, message: str) -> str:
    name = pod["metadata"]["name"]
    return f"pod {name}: {message}" if message else f"pod {name}"


def _naturally(name: str) -> Sequence[tuple[int, str]]:
    """Return a sort key that puts ``worker-10`` after ``worker-9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
