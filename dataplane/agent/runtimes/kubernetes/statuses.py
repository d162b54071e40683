"""
Read statuses of pods and their containers from API objects; absent fields read as empty.

PURE, as are the modules that classify by it: ``pending_reasons`` (why a pod does not run yet)
and ``failures`` (why it ended badly).
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from dataplane.agent.kube.objects import Object
from shared.kit.timestamps import parse_rfc3339

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""
The annotation that names a pod's primary container, for the agent as for ``kubectl logs``.
"""
OWN_PREFIX = "volary-"
"""Prefix of the names of containers that the agent adds to a task's pod."""

_NOTHING: Object = {}
_ENDED = frozenset({"Succeeded", "Failed"})


def primary_of(pod: Object) -> str:
    """Return the name of the primary container: the annotated one, or the first."""
    annotated = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    return str(annotated or pod["spec"]["containers"][0]["name"])


def phase_of(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def has_ended(pod: Object) -> bool:
    """Return whether no process of the pod runs any more, nor ever will."""
    return phase_of(pod) in _ENDED


def is_quiet(pod: Object) -> bool:
    """
    Return whether it is certain that no process of the pod is left.

    A phase alone may have been written by a controller that cannot know, as when a node is
    lost.
    """
    known = list(_statuses(pod))
    return has_ended(pod) and bool(known) and not any(running(status) for status in known)


def is_being_deleted(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def condition(pod: Object, kind: str) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), _NOTHING)


def is_true(found: Object) -> bool:
    return found.get("status") == "True"


def container_status(pod: Object, name: str) -> Object:
    """Return the status of one container, of any sort (init, sidecar, main)."""
    return next((one for one in _statuses(pod) if one.get("name") == name), _NOTHING)


def init_statuses(pod: Object) -> Sequence[Object]:
    return (pod.get("status") or {}).get("initContainerStatuses") or ()


def waiting(status: Object) -> Object:
    return (status.get("state") or {}).get("waiting") or _NOTHING


def running(status: Object) -> Object:
    return (status.get("state") or {}).get("running") or _NOTHING


def terminated(status: Object) -> Object:
    return (status.get("state") or {}).get("terminated") or _NOTHING


def ends_of_others(pod: Object, name: str) -> Iterator[tuple[str, Object]]:
    """Yield name and end of the other containers, and of a restarted one's run before."""
    lasting = sidecars(pod)
    for status in _statuses(pod):
        is_init = status in init_statuses(pod) and status["name"] not in lasting
        if status["name"] == name or is_init:
            continue
        for state in (status.get("state"), status.get("lastState")):
            if ended := (state or {}).get("terminated"):
                yield status["name"], ended


def sidecars(pod: Object) -> Collection[str]:
    """Return the names of native sidecars: init containers that run as long as the others do."""
    return {
        one["name"]
        for one in pod["spec"].get("initContainers") or ()
        if one.get("restartPolicy") == "Always"
    }


def others_running(pod: Object, primary: str) -> Sequence[str]:
    """Return the other containers that keep the pod alive: neither primary nor native sidecars."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return [one["name"] for one in statuses if one["name"] != primary and not terminated(one)]


def began_at(pod: Object) -> datetime | None:
    """Return when the primary container started to run, None if it has not."""
    status = container_status(pod, primary_of(pod))
    at = parse_timestamp(running(status).get("startedAt") or terminated(status).get("startedAt"))
    return at if at is not None and at.timestamp() > 0 else None  # 1970: it never did


def ended_by_itself(pod: Object) -> bool:
    """
    Return whether the primary container exited with 0 before the pod's deletion was
    requested.

    The API's timestamps have whole seconds: an end in the second of the request may result from
    it.
    """
    ended = terminated(container_status(pod, primary_of(pod)))
    at, asked = parse_timestamp(ended.get("finishedAt")), deletion_requested_at(pod)
    return ended.get("exitCode") == 0 and at is not None and (asked is None or at < asked)


def exited_with_0(pod: Object) -> bool:
    return terminated(container_status(pod, primary_of(pod))).get("exitCode") == 0


def parse_timestamp(text: object) -> datetime | None:
    """Parse a timestamp of the API; None if there is none, or it is invalid."""
    if not isinstance(text, str):
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def latest(*instants: datetime | None) -> datetime | None:
    known = [one for one in instants if one is not None]
    return max(known) if known else None


def placed_at(pod: Object) -> datetime | None:
    """Return when the pod was scheduled to a node, None if it was not."""
    scheduled = condition(pod, "PodScheduled")
    return parse_timestamp(scheduled.get("lastTransitionTime")) if is_true(scheduled) else None


def created_at(obj: Object) -> datetime | None:
    return parse_timestamp(obj["metadata"].get("creationTimestamp"))


def deletion_deadline(obj: Object) -> datetime | None:
    """Return when a pod being deleted should be gone; its grace period is included already."""
    return parse_timestamp(obj["metadata"].get("deletionTimestamp"))


def deletion_requested_at(obj: Object) -> datetime | None:
    """Return when the deletion was requested."""
    due = deletion_deadline(obj)
    grace = obj["metadata"].get("deletionGracePeriodSeconds") or 0
    return None if due is None else due - timedelta(seconds=grace)


def seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.0f} s"


def _statuses(pod: Object) -> Iterator[Object]:
    status = pod.get("status") or {}
    yield from status.get("containerStatuses") or ()
    yield from status.get("initContainerStatuses") or ()
