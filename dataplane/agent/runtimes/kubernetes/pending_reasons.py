"""
Explain why a pod does not run yet, and fail it when waiting is no use; one row per reason.

Kubernetes itself never gives up: an image that does not exist, a secret that is missing, a node
that never comes keep a pod Pending for ever. So each reason has a timeout, counted from the
first event that names it, or else from when the pod was scheduled.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes import events, statuses
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from shared.kit.settings import kinds, setting, settings
from shared.model.reports import Failure, FailureKind

_DAY_SECONDS = 86_400
_TIMEOUT = kinds.seconds(0, 30 * _DAY_SECONDS)


@settings("Pods that do not start", only_with="--runtime kubernetes")
class PendingTimeouts:
    """How long to wait for each problem that may pass by itself."""

    image: timedelta = setting(
        "VOLARY_AGENT_IMAGE_TIMEOUT_SECONDS",
        _TIMEOUT,
        "From the first failed pull of an image until its pod fails.",
        default=timedelta(minutes=3),
    )
    container: timedelta = setting(
        "VOLARY_AGENT_CONTAINER_TIMEOUT_SECONDS",
        _TIMEOUT,
        "The same if the node cannot create or start a container.",
        default=timedelta(minutes=3),
    )
    config: timedelta = setting(
        "VOLARY_AGENT_CONFIG_TIMEOUT_SECONDS",
        _TIMEOUT,
        "The same if a Secret or ConfigMap of its environment is missing; it may still be created.",
        default=timedelta(seconds=30),
    )
    volume: timedelta = setting(
        "VOLARY_AGENT_VOLUME_TIMEOUT_SECONDS",
        _TIMEOUT,
        "The same if a volume that it mounts is missing; mounts are retried every two minutes in "
        "the end.",
        default=timedelta(minutes=5),
    )
    pending: timedelta | None = setting(
        "VOLARY_AGENT_PENDING_TIMEOUT_SECONDS",
        kinds.seconds_or_unlimited(365 * _DAY_SECONDS),
        "A pod that does not start within this time fails. 0: no limit.",
        default=timedelta(minutes=30),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One reason for which a container waits, and how to report it."""

    timeouts: str  # a field of PendingTimeouts; "": none
    kind: FailureKind = FailureKind.USER
    recoverable: bool = True
    code: str = ""  # "": the reason itself
    remedy: str = ""


_IMAGE = _Row(
    timeouts="image",
    code="ImagePullBackOff",
    remedy="check its name and tag, and whether the cluster may pull it",
)

_ROWS: Mapping[str, _Row] = {
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "ErrImageNeverPull": _IMAGE,
    "ImageInspectError": _IMAGE,
    "RegistryUnavailable": _Row(timeouts="image", kind=FailureKind.SYSTEM, code="ImagePullBackOff"),
    "SignatureValidationFailed": _Row(
        timeouts="image",
        recoverable=False,
        remedy="the cluster's policy requires a signature; sign the image",
    ),
    "InvalidImageName": _Row(
        timeouts="", recoverable=False, remedy="write registry/name:tag, in lower case"
    ),
    "CreateContainerConfigError": _Row(
        timeouts="config",
        recoverable=False,
        remedy="its environment refers to a Secret or ConfigMap that does not exist; create it",
    ),
    "CreateContainerError": _Row(timeouts="container"),
    "RunContainerError": _Row(timeouts="container"),
    "CrashLoopBackOff": _Row(timeouts="container"),  # a native sidecar: nothing else restarts
}

_PREPARING = frozenset({"ContainerCreating", "PodInitializing", ""})
"""Reasons without information; an event may tell what the kubelet is doing."""
_TELLING = frozenset(
    {
        "FailedAttachVolume",
        "FailedCreatePodSandBox",
        "FailedMapVolume",
        "FailedMount",
        "NetworkNotReady",
        "Pulling",
    }
)
_FAILED = frozenset({"BackOff", "ErrImageNeverPull", "Failed", "InspectFailed"})

# Faults of the registry or the network. Bare numbers would also match names of images.
_REGISTRY_IS_BUSY = re.compile(
    r"toomanyrequests|too many requests|\b(?:429|5\d\d) (?:Too Many|Internal Server|Bad Gateway"
    r"|Service Unavailable|Gateway Time)|status(?: code)?:? (?:429|5\d\d)\b|i/o timeout"
    r"|TLS handshake timeout|connection (?:refused|reset)|context deadline exceeded"
    r"|pull QPS exceeded|unexpected EOF",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(r'(secret|configmap|persistentvolumeclaim)s? "([^"]+)" not found')


def observe(pod: Object, around: ObservationContext, timeouts: PendingTimeouts) -> Observation:
    """Return why the pod's primary container does not run yet; FAILED where it never will."""
    if not statuses.placed_at(pod) and not pod["spec"].get("nodeName"):
        seen = _unplaced(pod)
    else:
        seen = _placed(pod, around, timeouts)
    if seen.stage is Stage.FAILED or timeouts.pending is None:
        return seen
    created = statuses.created_at(pod)
    return seen if created is None else _bounded(seen, created + timeouts.pending, around.now)


def _unplaced(pod: Object) -> Observation:
    scheduled = statuses.condition(pod, "PodScheduled")
    return Observation(
        stage=Stage.QUEUED,
        reason=str(scheduled.get("reason") or ""),
        message=str(scheduled.get("message") or ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A container of a scheduled pod that does not run yet."""

    pod: Object
    status: Object
    pod_events: Sequence[Object]  # events about the pod
    now: datetime
    timeouts: PendingTimeouts

    @property
    def reason(self) -> str:
        return str(statuses.waiting(self.status).get("reason") or "")

    @property
    def message(self) -> str:
        return str(statuses.waiting(self.status).get("message") or "")


def _placed(pod: Object, around: ObservationContext, timeouts: PendingTimeouts) -> Observation:
    held = _Waiting(
        pod=pod,
        status=_pending_container(pod),
        pod_events=list(events.about(around.events, pod)),
        now=around.now,
        timeouts=timeouts,
    )
    row = _ROWS.get(held.reason)
    if row is not None:
        return _classify(held, row)
    if statuses.running(held.status) and held.status["name"] != statuses.primary_of(pod):
        message = f"init container {held.status['name']} is running"
        return _still("PodInitializing", message)
    if held.reason in _PREPARING:
        return _preparing(held)
    return _still(held.reason, held.message)


def _pending_container(pod: Object) -> Object:
    """Return the status of the next container to start: the first that has yet to run."""
    primary = statuses.container_status(pod, statuses.primary_of(pod))
    lasting = statuses.sidecars(pod)
    for status in statuses.init_statuses(pod):
        if statuses.waiting(status).get("reason") not in {None, "PodInitializing"}:
            return status
        if status["name"] in lasting:
            if not (status.get("started") or statuses.running(status)):
                return status
        elif not statuses.terminated(status):
            return status
    return primary


def _classify(held: _Waiting, row: _Row) -> Observation:
    message = held.message
    since = statuses.placed_at(held.pod) or held.now
    is_image = row.timeouts == "image"
    failed = [event for event in held.pod_events if _is_failure(event, of_image=is_image)]
    since = min(filter(None, map(events.first_at, failed)), default=since)
    if is_image:
        message = _fullest(message, failed)
    allowed: timedelta = getattr(held.timeouts, row.timeouts) if row.timeouts else timedelta(0)
    if held.now < since + allowed:
        return _still(held.reason, message, again=since + allowed)
    is_own = str(held.status.get("name", "")).startswith(statuses.OWN_PREFIX)
    kind = FailureKind.SYSTEM if is_own else row.kind
    if is_image and _REGISTRY_IS_BUSY.search(message):
        kind = FailureKind.SYSTEM
    return failed_with(
        Failure(
            code=row.code or held.reason,
            kind=kind,
            message=_sentence(held.status, message or held.reason, row.remedy, allowed),
            recoverable=row.recoverable,
        ),
        reason=held.reason,
    )


def _preparing(held: _Waiting) -> Observation:
    telling = [event for event in held.pod_events if event.get("reason") in _TELLING]
    if not telling:
        return _still(held.reason or "ContainerCreating", held.message)
    last = max(telling, key=lambda event: events.last_at(event) or held.now)
    reason, message = str(last["reason"]), str(last.get("message") or "")
    missing = _NOT_THERE.search(message)
    began = events.first_at(last)
    if reason != "FailedMount" or missing is None or began is None:
        return _still(reason, message)
    if held.now < began + held.timeouts.volume:
        return _still(reason, message, again=began + held.timeouts.volume)
    return failed_with(
        Failure(
            code="FailedMount",
            kind=FailureKind.USER,
            message=f"{message}; create the {missing[1]} {missing[2]} in the namespace "
            f"{held.pod['metadata'].get('namespace', '')}, or remove it from the task",
            recoverable=False,
        ),
        reason=reason,
    )


def _bounded(seen: Observation, until: datetime, now: datetime) -> Observation:
    """Fail the observation if it is still pending at ``until``."""
    if now < until:
        again = min(until, seen.observe_again_at or until)
        return Observation(
            stage=seen.stage, reason=seen.reason, message=seen.message, observe_again_at=again
        )
    why = ": ".join(filter(None, [seen.reason, seen.message])) or "Kubernetes reports no reason"
    return failed_with(
        Failure(
            code="PendingTooLong",
            kind=FailureKind.SYSTEM,
            message=f"its pod did not start within this cluster's timeout for pending pods; {why}",
        ),
        reason=seen.reason,
    )


def _still(reason: str, message: str, *, again: datetime | None = None) -> Observation:
    return Observation(
        stage=Stage.INITIALIZING, reason=reason, message=message, observe_again_at=again
    )


def failed_with(failure: Failure, *, reason: str = "") -> Observation:
    return Observation(
        stage=Stage.FAILED,
        reason=reason or failure.code,
        message=failure.message,
        failure=failure,
    )


def _is_failure(event: Object, *, of_image: bool) -> bool:
    """Return whether the event says that a pull failed, or else a container's creation."""
    is_of_image = "image" in str(event.get("message") or "").lower()
    return event.get("reason") in _FAILED and is_of_image == of_image


def _fullest(message: str, pod_events: Iterable[Object]) -> str:
    """Return the most informative message of a failed pull: "Back-off pulling" names no cause."""
    candidates = [message, *(str(event.get("message") or "") for event in pod_events)]
    telling = [text for text in candidates if "ailed to pull" in text or "rpc error" in text]
    return max(telling or candidates, key=len)


def _sentence(status: Object, message: str, remedy: str, allowed: timedelta) -> str:
    waited = f" within {statuses.seconds(allowed)}" if allowed else ""
    image = str(status.get("image") or "")
    of_image = f" (image {image})" if image and image not in message else ""
    tail = f"; {remedy}" if remedy else ""
    name = status.get("name", "main")
    return f"container {name}{of_image} could not be started{waited}: {message}{tail}"
