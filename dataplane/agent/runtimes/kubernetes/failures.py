"""
Classify how a pod ended, from its status and its events; one row per cause.

The rows are tried in this order, and the first match decides: the kernel (memory), the cluster
(deadline, eviction, preemption, shutdown, a lost node), init containers, the container itself.
The kind decides which retry budget pays: USER for what the task did or asked for, PREEMPTION
for an orderly end of its node, SYSTEM for any other loss.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from dataplane.agent.core.endings import CRASHES, CUT_OFF, failure_of_exit
from dataplane.agent.core.pod_identity import FENCE_PATH
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes import events, statuses
from dataplane.agent.runtimes.kubernetes.pending_reasons import failed_with
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from shared.model.reports import Failure, FailureKind

USER, SYSTEM, PREEMPTION = FailureKind.USER, FailureKind.SYSTEM, FailureKind.PREEMPTION

MAX_RUNTIME_EXCEEDED = "MAX_RUNTIME_EXCEEDED"
"""Code of a timeout failure."""

OOM_KILLED = "OOMKilled"
_SIGKILL = 9
_KILLED = frozenset({137, 143, 247})  # 247: how shells and launchers report -SIGKILL
_PROBES_FAILED = ("Liveness probe failed", "Startup probe failed")
_CRASHED = frozenset(128 + int(number) for number in CRASHES)
_UNFIT_FILES = frozenset({3})  # the copilot's exit code for errors that the user has to fix
_TOLERANCE = timedelta(seconds=1)  # timestamps of the API have whole seconds
_SAME_KILL = timedelta(seconds=5)  # between the ends of containers that one lack of memory killed

_DISRUPTIONS: Mapping[str, tuple[str, FailureKind, str]] = {
    "PreemptionByScheduler": (
        "Preempted",
        PREEMPTION,
        "a pod of higher priority took its place on the node",
    ),
    "EvictionByEvictionAPI": ("Drained", PREEMPTION, "it was evicted, as when a node is drained"),
    "TerminationByKubelet": ("NodeShutdown", PREEMPTION, "its node was shut down"),
    "DeletionByTaintManager": ("NodeLost", SYSTEM, "its node became unfit or stopped responding"),
    "DeletionByPodGC": ("NodeLost", SYSTEM, "its node is gone"),
}

_POD_REASONS: Mapping[str, tuple[str, FailureKind, str]] = {
    "NodeAffinity": ("NodeAffinity", SYSTEM, "its node's labels were changed"),
    "NodeLost": ("NodeLost", SYSTEM, "its node stopped responding"),
    "NodeShutdown": ("NodeShutdown", PREEMPTION, "its node was shut down"),
    "Preempting": ("Preempted", PREEMPTION, "its node needed the resources for a critical pod"),
    "Shutdown": ("NodeShutdown", PREEMPTION, "its node was shut down"),
    "Terminated": ("NodeShutdown", PREEMPTION, "its node was shut down"),
    "UnexpectedAdmissionError": ("UnexpectedAdmissionError", SYSTEM, "its node refused it"),
}

_OWN_LIMIT = re.compile(r"exceeds the (?:total )?limit|exceeded its local ephemeral storage limit")
_NO_SUCH_PROGRAM = re.compile(
    r"executable file not found|no such file or directory|permission denied|exec format error",
    re.IGNORECASE,
)


def observe(
    pod: Object, around: ObservationContext, *, interruptible: bool = False
) -> Observation | None:
    """Return how the pod ended; None while it has not."""
    primary = statuses.primary_of(pod)
    if primary not in {container["name"] for container in pod["spec"]["containers"]}:
        return failed_with(_no_primary(primary))
    status = statuses.container_status(pod, primary)
    ended = statuses.terminated(status)
    over = statuses.has_ended(pod)
    if not over and not (ended and statuses.others_running(pod, primary)):
        return None
    disturbed = _killed_for_memory(pod, status)
    if disturbed is None and not _was_over_before(pod, ended):
        disturbed = _cluster_did(pod, interruptible=interruptible)
    if ended and ended.get("exitCode") == 0:
        return Observation(stage=Stage.SUCCEEDED, failure=disturbed or _copilot_failed(pod))
    failure = disturbed or _init_did(pod)
    if failure is None and ended:
        failure = _container_did(pod, ended, around.events)
    if failure is None:
        failure = _unknown_failure(pod, primary)
    return failed_with(failure)


def classify_deleted(pods: Collection[Object], *, interruptible: bool = False) -> Failure:
    """
    Return the failure of an attempt whose resource another client deleted; ``pods`` as last
    seen.
    """
    for pod in pods:
        disturbed = _disrupted(pod, interruptible=interruptible)
        if disturbed is not None:
            return disturbed
    return _deleted()


def last_words(pod: Object) -> Iterable[str]:
    """Return the end of the primary container's log as the kubelet kept it in the status."""
    ended = statuses.terminated(statuses.container_status(pod, statuses.primary_of(pod)))
    return str(ended.get("message") or "").splitlines()


def _no_primary(primary: str) -> Failure:
    return Failure(
        code="PrimaryContainerNotFound",
        kind=USER,
        message=f"the pod has no container {primary!r}, which its template names as the primary one; "
        "correct primary_container_name",
        recoverable=False,
    )


def _killed_for_memory(pod: Object, status: Object) -> Failure | None:
    """Return a memory failure if the kernel killed a process of the container, first or not."""
    if statuses.terminated(status).get("reason") != OOM_KILLED:
        return _killed_for_memory_of_pod(pod, status)
    name = status["name"]
    container = next(one for one in pod["spec"]["containers"] if one["name"] == name)
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory", "")
    of_limit = f", which is {limit}" if limit else ""
    return Failure(
        code=OOM_KILLED,
        kind=USER,
        message=f"the task used more memory than its limit{of_limit}, and was killed; request "
        "more with flyte.Resources(memory=…)",
    )


def _killed_for_memory_of_pod(pod: Object, status: Object) -> Failure | None:
    """
    Return a memory failure if the container was killed when the pod as a whole had no memory left.

    The pod's cgroup has a limit of its own. If that is reached first, the container runtime may miss
    the kill: the kubelet then shows an unexplained exit with 137, and OOMKilled for another
    container of the pod, which the kernel notified as well. Events of nodes (SystemOOM, OOMKilling)
    are no evidence: they name a process of the node, and no pod.
    """
    ended = statuses.terminated(status)
    at = statuses.parse_timestamp(ended.get("finishedAt"))
    if ended.get("exitCode") not in _KILLED - {143} or ended.get("reason") != "Error" or at is None:
        return None
    for name, killed in statuses.ends_of_others(pod, status["name"]):
        other_at = statuses.parse_timestamp(killed.get("finishedAt"))
        if killed.get("reason") != OOM_KILLED or other_at is None:
            continue
        if abs(other_at - at) <= _SAME_KILL:
            return Failure(
                code=OOM_KILLED,
                kind=USER,
                message=f"the pod used more memory than its limit, and the task was killed with "
                f"container {name}; request more with flyte.Resources(memory=…), or raise the "
                "limit of that container in the pod template",
            )
    return None


def _cluster_did(pod: Object, *, interruptible: bool) -> Failure | None:
    status = pod.get("status") or {}
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason == "DeadlineExceeded":
        seconds = pod["spec"].get("activeDeadlineSeconds", "?")
        return Failure(
            code=MAX_RUNTIME_EXCEEDED,
            kind=USER,
            message=f"the pod ran longer than its active deadline of {seconds} s and was killed",
        )
    if reason == "Evicted":
        return _evicted(message)
    disturbed = _disrupted(pod, interruptible=interruptible)
    if disturbed is not None:
        return disturbed
    if reason.startswith("OutOf"):
        return Failure(
            code=reason, kind=SYSTEM, message=_and("its node had no free resources left", message)
        )
    row = _POD_REASONS.get(reason)
    return None if row is None else _of_row(row, message, interruptible=interruptible)


def _evicted(message: str) -> Failure:
    """Return the failure of an eviction: the pod exceeded its own limit, or the node ran short."""
    if _OWN_LIMIT.search(message):
        return Failure(
            code="EphemeralStorageExceeded",
            kind=USER,
            message=f"{message.strip()}; request more with flyte.Resources(disk=…)",
        )
    return Failure(
        code="Evicted",
        kind=SYSTEM,
        message=_and("its node ran short of resources and evicted it", message),
    )


def _deleted() -> Failure:
    return Failure(
        code="DeletedFromOutside",
        kind=SYSTEM,
        message="its pod was deleted, and not by the agent: by a person, a namespace's end or "
        "another controller",
    )


def _disrupted(pod: Object, *, interruptible: bool) -> Failure | None:
    found = statuses.condition(pod, "DisruptionTarget")
    if not statuses.is_true(found):
        return _deleted() if statuses.is_being_deleted(pod) else None
    reason, message = str(found.get("reason") or ""), str(found.get("message") or "")
    row = _DISRUPTIONS.get(reason, ("Disrupted", SYSTEM, f"it was disrupted ({reason})"))
    return _of_row(row, message, interruptible=interruptible)


def _of_row(row: tuple[str, FailureKind, str], message: str, *, interruptible: bool) -> Failure:
    code, kind, sentence = row
    if code == "NodeLost" and interruptible:  # spot nodes vanish without notice
        kind = PREEMPTION
    return Failure(code=code, kind=kind, message=_and(f"the task was stopped: {sentence}", message))


def _was_over_before(pod: Object, ended: Object) -> bool:
    """Return whether the container had ended before the cluster began to disrupt the pod."""
    finished = statuses.parse_timestamp(ended.get("finishedAt"))
    found = statuses.condition(pod, "DisruptionTarget")
    if statuses.is_true(found):
        began = statuses.parse_timestamp(found.get("lastTransitionTime"))
    else:
        began = statuses.deletion_requested_at(pod)
    return finished is not None and began is not None and finished + _TOLERANCE < began


def _init_did(pod: Object) -> Failure | None:
    lasting = statuses.sidecars(pod)
    if statuses.began_at(pod) is not None:
        return None
    for status in statuses.init_statuses(pod):
        ended = statuses.terminated(status)
        if status["name"] in lasting or not ended or ended.get("exitCode") == 0:
            continue
        if status["name"].startswith(statuses.OWN_PREFIX):
            return _copilot(status["name"], ended)
        if ended.get("reason") == OOM_KILLED:
            message = f"init container {status['name']} used more memory than its limit"
            return Failure(code=OOM_KILLED, kind=USER, message=message)
        return Failure(
            code="InitContainerFailed",
            kind=USER,
            message=_and(f"init container {status['name']} {_how(ended)}", ended.get("message")),
        )
    return None


def _copilot_failed(pod: Object) -> Failure | None:
    """
    Return the failure of the copilot sidecar after a task that ended well.

    The attempt fails only if the uploaded outputs do not prove success.
    """
    for status in statuses.init_statuses(pod):
        ended = statuses.terminated(status)
        name = status["name"]
        if name.startswith(statuses.OWN_PREFIX) and ended and ended.get("exitCode") != 0:
            return _copilot(name, ended)
    return None


def _copilot(name: str, ended: Object) -> Failure:
    kind = USER if ended.get("exitCode") in _UNFIT_FILES else SYSTEM
    return Failure(
        code="CopilotFailed",
        kind=kind,
        message=_and(
            f"{name}, which transfers inputs and outputs, {_how(ended)}", ended.get("message")
        ),
    )


def _container_did(pod: Object, ended: Object, text: Iterable[Object]) -> Failure | None:
    code = int(ended.get("exitCode") or 0)
    reason, message = str(ended.get("reason") or ""), str(ended.get("message") or "")
    if reason in {"StartError", "ContainerCannotRun"}:
        return Failure(
            code="StartError",
            kind=USER if _NO_SUCH_PROGRAM.search(message) else SYSTEM,
            message=_and("the container could not be started", message),
            recoverable=not _NO_SUCH_PROGRAM.search(message),
        )
    if reason == "ContainerStatusUnknown":
        sentence = "its node lost the container's state, as after a restart of the node"
        return Failure(code="Interrupted", kind=SYSTEM, message=_and(sentence, message))
    if code in _KILLED and _failed_liveness(pod, text):
        return CUT_OFF if _is_fenced(pod) else _not_alive()
    if code in _KILLED:
        number = _SIGKILL if code == 247 else code - 128
        return failure_of_exit(code=None, signal_number=number)
    if code in _CRASHED:
        return failure_of_exit(code=None, signal_number=code - 128)
    return failure_of_exit(code=code, signal_number=None)


def _not_alive() -> Failure:
    return Failure(
        code="LivenessProbeFailed",
        kind=USER,
        message="the container did not answer the liveness probe of its pod template",
    )


def _failed_liveness(pod: Object, text: Iterable[Object]) -> bool:
    """
    Return whether the kubelet killed the container because a probe failed.

    For the last container of a pod that restarts nothing, the kubelet's event says only that it
    is stopping.
    """
    about = [(one.get("reason"), str(one.get("message") or "")) for one in events.about(text, pod)]
    return any(reason == "Killing" for reason, _ in about) and any(
        reason == "Unhealthy" and message.startswith(_PROBES_FAILED) for reason, message in about
    )


def _is_fenced(pod: Object) -> bool:
    primary = statuses.primary_of(pod)
    container = next(one for one in pod["spec"]["containers"] if one["name"] == primary)
    probe = (container.get("livenessProbe") or {}).get("httpGet") or {}
    return probe.get("path") == FENCE_PATH


def _unknown_failure(pod: Object, primary: str) -> Failure:
    status = pod.get("status") or {}
    if status.get("phase") == "Succeeded":
        return _no_primary(primary)
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    return Failure(
        code=reason or "PodFailed",
        kind=SYSTEM,
        message=_and("the pod failed, and its container's status does not show why", message),
    )


def _how(ended: Object) -> str:
    return f"exited with code {ended.get('exitCode')}"


def _and(sentence: str, message: object) -> str:
    """Append the message of Kubernetes itself, if there is one."""
    words = str(message or "").strip()
    return f"{sentence}: {words}" if words else sentence
