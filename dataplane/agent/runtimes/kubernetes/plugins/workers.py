"""
The pods that an operator made of a resource, and what they tell besides the resource's status.

An operator says that its job failed, or that it is not running yet; the pods say why. The
first of them to fail is taken for the cause: what came after it often only lost its peers.
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

_OPERATOR_WITHIN = timedelta(minutes=1)  # to say anything at all of a new resource
_LOOKED_AT = 32  # pods that have not begun; of a thousand, the next come when these have
_NEVER = datetime.max.replace(tzinfo=UTC)
_UNTELLING = frozenset({"NonZeroExit", "Interrupted", "Crashed", "PodFailed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The pods of one attempt, in the order in which their roles matter."""

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
        """Say why the job does not run yet: what holds up one of its pods, else its own word."""
        not_begun = (
            pod
            for pod in self._ordered
            if not statuses.has_ended(pod) and statuses.began_at(pod) is None
        )
        # One reason is enough, and this is asked again at every change to any of them.
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
        """The resource has no status: its operator has not come to it, or is not there."""
        created = statuses.created_at(resource) or self.around.now
        doubtful_at = created + _OPERATOR_WITHIN
        if self._ordered or self.around.now < doubtful_at:
            seen = self.preparing(Stage.QUEUED, "WaitingForOperator", f"{operator} has it next")
            return replace(seen, observe_again_at=seen.observe_again_at or doubtful_at)
        return Observation(
            stage=Stage.QUEUED,
            reason="OperatorSilent",
            message=f"{operator} has not touched the {resource.get('kind', 'resource')} yet; see "
            "whether it is installed, and looks at this namespace",
        )

    def failed(self, failure: Failure) -> Observation:
        """Say why the job failed: as its pods have it, else ``failure``, the operator's word."""
        cause = self.cause() or failure
        return replace(pending_reasons.failed_with(cause), log_pods=self.names)

    def cause(self) -> Failure | None:
        """Return the failure of the pod that failed first."""
        found: list[tuple[tuple[datetime, bool], Failure]] = []
        for pod in self._ordered:
            seen = failures.observe(pod, self.around, interruptible=self.job.interruptible)
            if seen is not None and seen.stage is Stage.FAILED and seen.failure is not None:
                # The API's instants have whole seconds; of two in one, the telling one.
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
    """Return the first of ``kinds`` that holds, as the resource's conditions have it."""
    conditions = {
        each.get("type"): each
        for each in (resource.get("status") or {}).get("conditions") or ()
        if each.get("status") == "True"
    }
    return next((conditions[kind] for kind in kinds if kind in conditions), None)


def operator_failure(code: str, text: str, kind: FailureKind = FailureKind.USER) -> Failure:
    """Return what to say where no pod tells more."""
    return Failure(code=code, kind=kind, message=text.strip() or "its operator does not say why")


def _ended_at(pod: Object) -> datetime:
    ended = statuses.terminated(statuses.container_status(pod, statuses.primary_of(pod)))
    return statuses.parse_timestamp(ended.get("finishedAt")) or _NEVER


def _with_pod(pod: Object, failure: Failure) -> Failure:
    return replace(failure, message=_of(pod, failure.message))


def _of(pod: Object, message: str) -> str:
    name = pod["metadata"]["name"]
    return f"pod {name}: {message}" if message else f"pod {name}"


def _naturally(name: str) -> Sequence[tuple[int, str]]:
    """Sort ``worker-10`` after ``worker-9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
