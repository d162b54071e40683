"""Pods and events as the API server shows them: valid by default; override what matters."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext
from dataplane.agent.runtimes.kubernetes.plugins.pod import observe_pod
from tests.unit.agent.assignments import NOW

Json = dict[str, Any]

TIMEOUT_SECONDS = PendingTimeouts(pending=timedelta(hours=1))
NAME = "r1-a1-1-0a1b2c3d"
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ""}


def ago(seconds: float) -> str:
    """As the API writes an instant so long before NOW."""
    return f"{NOW - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def make_pod(
    *,
    phase: str = "Running",
    state: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    placed: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> Object:
    """Make a pod with one container, ``main``, in ``state``; ``status`` and ``spec`` lie over."""
    container = {
        "name": "main",
        "image": "registry.example/team/train:1",
        "resources": {"limits": {"memory": "64Mi"}},
    }
    conditions = [{**SCHEDULED, "lastTransitionTime": ago(600)}] if placed else []
    statuses = [] if state is None else [make_status("main", state)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "p-development",
            "name": NAME,
            "uid": "11111111-1111-1111-1111-111111111111",
            "creationTimestamp": ago(610),
            **(metadata or {}),
        },
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            **({"nodeName": "node-1"} if placed else {}),
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": statuses,
            **(status or {}),
        },
    }


def make_status(name: str, state: Mapping[str, Any]) -> Json:
    return {
        "name": name,
        "image": "registry.example/team/train:1",
        "ready": False,
        "restartCount": 0,
        "state": dict(state),
        "lastState": {},
    }


def waits(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def runs() -> Json:
    return {"running": {"startedAt": ago(300)}}


def ended(code: int, reason: str = "", message: str = "", *, seconds_ago: float = 10) -> Json:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason or ("Error" if code else "Completed"),
            "message": message,
            "startedAt": ago(300),
            "finishedAt": ago(seconds_ago),
            "containerID": "containerd://0123",
        }
    }


def disrupted(reason: str, message: str = "", *, seconds_ago: float = 20) -> Json:
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(seconds_ago),
    }


def make_event(
    reason: str, message: str, *, seconds_ago: float = 60, name: str = NAME, count: int = 1
) -> Object:
    return {
        "metadata": {"name": f"{name}.{reason}.{len(message)}", "creationTimestamp": ago(5)},
        "involvedObject": {"kind": "Pod", "namespace": "p-development", "name": name},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "count": count,
        "firstTimestamp": ago(seconds_ago),
        "lastTimestamp": ago(5),
    }


def observe(
    pod: Object,
    events: Sequence[Object] = (),
    *,
    timeouts: PendingTimeouts = TIMEOUT_SECONDS,
    now: datetime = NOW,
    interruptible: bool = False,
) -> Observation:
    around = ObservationContext(now=now, pods=[pod], events=events)
    return observe_pod(pod, around, timeouts, interruptible=interruptible)
