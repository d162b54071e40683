"""A row for every way a pod can end, and a few that differ from what one would expect."""

import pytest

from dataplane.agent.core.pod_identity import FENCE_PATH
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes import failures, statuses
from dataplane.agent.runtimes.kubernetes.plugin import Observation, Stage
from shared.model.reports import FailureKind
from tests.unit.agent.kubernetes.objects import (
    ago,
    disrupted,
    ended,
    make_event,
    make_pod,
    make_status,
    observe,
    runs,
    waits,
)

USER, SYSTEM, PREEMPTION = FailureKind.USER, FailureKind.SYSTEM, FailureKind.PREEMPTION

COPILOT = {"name": "volary-copilot", "image": "copilot:1", "restartPolicy": "Always"}
FENCED = {"name": "main", "livenessProbe": {"httpGet": {"path": FENCE_PATH, "port": 8443}}}
OTHERWISE_LIVE = {"name": "main", "livenessProbe": {"httpGet": {"path": "/", "port": 80}}}
PROBE_FAILED = (
    make_event("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503"),
    make_event("Killing", "Stopping container main"),
)


def failed(code: int, reason: str = "", message: str = "") -> Object:
    return make_pod(phase="Failed", state=ended(code, reason, message))


def refused(reason: str, message: str = "") -> Object:
    """Make a pod that its node ended, or never began."""
    return make_pod(phase="Failed", status={"reason": reason, "message": message})


def disturbed(reason: str, message: str = "", *, code: int = 137) -> Object:
    return make_pod(
        phase="Failed",
        state=ended(code),
        status={"conditions": [disrupted(reason, message)]},
    )


def with_init(name: str, code: int, message: str = "", *, reason: str = "") -> Object:
    return make_pod(
        phase="Failed",
        state=waits("PodInitializing"),
        status={"initContainerStatuses": [make_status(name, ended(code, reason, message))]},
    )


ROWS = [
    # What the container did.
    ("exit", failed(3), "NonZeroExit", USER, True),
    ("abort", failed(134), "Crashed", USER, True),
    ("segmentation-fault", failed(139), "Crashed", USER, True),
    ("killed", failed(137), "Interrupted", SYSTEM, True),
    ("terminated", failed(143), "Interrupted", SYSTEM, True),
    ("a-child-killed", failed(247), "Interrupted", SYSTEM, True),
    ("unknown", failed(137, "ContainerStatusUnknown"), "Interrupted", SYSTEM, True),
    ("memory", failed(137, "OOMKilled"), "OOMKilled", USER, True),
    ("memory-of-a-child", failed(1, "OOMKilled"), "OOMKilled", USER, True),
    (
        "no-program",
        failed(128, "StartError", 'exec: "a0": executable file not found in $PATH'),
        "StartError",
        USER,
        False,
    ),
    ("start", failed(128, "StartError", "cgroup: device busy"), "StartError", SYSTEM, True),
    # What init containers did.
    ("init", with_init("fetch", 2), "InitContainerFailed", USER, True),
    ("init-memory", with_init("fetch", 137, reason="OOMKilled"), "OOMKilled", USER, True),
    ("copilot", with_init("volary-copilot-download", 1), "CopilotFailed", SYSTEM, True),
    ("copilot-unfit", with_init("volary-copilot-download", 3), "CopilotFailed", USER, True),
    # What the node did.
    (
        "disk-of-an-empty-dir",
        refused("Evicted", 'Usage of EmptyDir volume "d" exceeds the limit "1Mi". '),
        "EphemeralStorageExceeded",
        USER,
        True,
    ),
    (
        "disk-of-the-pod",
        refused("Evicted", "Pod ephemeral local storage usage exceeds the total limit of "),
        "EphemeralStorageExceeded",
        USER,
        True,
    ),
    (
        "disk-of-a-container",
        refused("Evicted", 'Container main exceeded its local ephemeral storage limit "1Gi". '),
        "EphemeralStorageExceeded",
        USER,
        True,
    ),
    (
        "pressure",
        refused("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi"),
        "Evicted",
        SYSTEM,
        True,
    ),
    ("deadline", refused("DeadlineExceeded"), "MAX_RUNTIME_EXCEEDED", USER, True),
    ("critical-pod", refused("Preempting"), "Preempted", PREEMPTION, True),
    ("shutdown", refused("Shutdown"), "NodeShutdown", PREEMPTION, True),
    ("terminated-node", refused("Terminated"), "NodeShutdown", PREEMPTION, True),
    ("node-shutdown", refused("NodeShutdown"), "NodeShutdown", PREEMPTION, True),
    ("node-affinity", refused("NodeAffinity"), "NodeAffinity", SYSTEM, True),
    ("node-lost", refused("NodeLost"), "NodeLost", SYSTEM, True),
    ("no-room", refused("OutOfcpu"), "OutOfcpu", SYSTEM, True),
    ("no-device", refused("UnexpectedAdmissionError"), "UnexpectedAdmissionError", SYSTEM, True),
    ("unheard-of", refused("Cosmic"), "Cosmic", SYSTEM, True),
    ("no-word", refused(""), "PodFailed", SYSTEM, True),
    # What the cluster did.
    ("preempted", disturbed("PreemptionByScheduler"), "Preempted", PREEMPTION, True),
    ("drained", disturbed("EvictionByEvictionAPI"), "Drained", PREEMPTION, True),
    ("kubelet", disturbed("TerminationByKubelet"), "NodeShutdown", PREEMPTION, True),
    ("taint", disturbed("DeletionByTaintManager"), "NodeLost", SYSTEM, True),
    ("node-gone", disturbed("DeletionByPodGC"), "NodeLost", SYSTEM, True),
    ("new-disruption", disturbed("DeletionByAliens"), "Disrupted", SYSTEM, True),
]


@pytest.mark.parametrize(
    ("pod", "code", "kind", "recoverable"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_pod_end_is_classified_by_its_row(
    pod: Object, code: str, kind: FailureKind, *, recoverable: bool
) -> None:
    seen = observe(pod)

    assert seen.stage is Stage.FAILED
    assert seen.failure is not None
    assert (seen.failure.code, seen.failure.kind) == (code, kind)
    assert seen.failure.recoverable is recoverable
    assert seen.failure.message


def test_exit_code_0_is_success() -> None:
    pod = make_pod(phase="Succeeded", state=ended(0))
    assert observe(pod) == Observation(stage=Stage.SUCCEEDED)


def test_kubernetes_message_is_part_of_the_failure() -> None:
    failure = observe(refused("Evicted", "The node was low on resource: memory.")).failure

    assert failure is not None
    assert "The node was low on resource: memory." in failure.message


def test_memory_failure_names_the_limit() -> None:
    failure = observe(failed(137, "OOMKilled")).failure

    assert failure is not None
    assert "64Mi" in failure.message


@pytest.mark.parametrize("phase", ["Succeeded", "Running"])
def test_exit_code_0_after_oom_kill_of_child_needs_proof(phase: str) -> None:
    """Whether the task noticed is unknown; its outputs tell."""
    other = make_status("proxy", runs())
    main = make_status("main", ended(0, "OOMKilled"))
    seen = observe(make_pod(phase=phase, status={"containerStatuses": [main, other]}))

    assert seen.stage is Stage.SUCCEEDED
    assert seen.failure is not None
    assert seen.failure.code == "OOMKilled"


def test_exit_code_0_during_eviction_needs_proof() -> None:
    pod = disturbed("EvictionByEvictionAPI", code=0)
    seen = observe(pod)

    assert seen.stage is Stage.SUCCEEDED
    assert seen.failure is not None
    assert seen.failure.kind is PREEMPTION


def test_exit_code_0_before_eviction_is_success() -> None:
    pod = make_pod(
        phase="Succeeded",
        state=ended(0, seconds_ago=100),
        status={"conditions": [disrupted("EvictionByEvictionAPI", seconds_ago=20)]},
    )
    assert observe(pod) == Observation(stage=Stage.SUCCEEDED)


def test_exit_code_0_with_failed_copilot_needs_proof() -> None:
    pod = make_pod(
        phase="Succeeded",
        state=ended(0),
        spec={"initContainers": [COPILOT]},
        status={"initContainerStatuses": [make_status("volary-copilot", ended(1))]},
    )
    seen = observe(pod)

    assert seen.stage is Stage.SUCCEEDED
    assert seen.failure is not None
    assert seen.failure.code == "CopilotFailed"


def test_task_has_ended_while_another_container_runs() -> None:
    statuses = [make_status("main", ended(3)), make_status("proxy", runs())]
    seen = observe(make_pod(status={"containerStatuses": statuses}))

    assert seen.stage is Stage.FAILED


def test_task_has_not_ended_while_its_copilot_uploads() -> None:
    pod = make_pod(
        state=ended(0),
        spec={"initContainers": [COPILOT]},
        status={"initContainerStatuses": [make_status("volary-copilot", runs())]},
    )
    assert observe(pod) == Observation(stage=Stage.RUNNING)


def test_lost_node_is_preemption_of_interruptible_task() -> None:
    seen = observe(disturbed("DeletionByPodGC"), interruptible=True)

    assert seen.failure is not None
    assert seen.failure.kind is PREEMPTION


def test_pod_killed_by_the_fence_was_cut_off() -> None:
    pod = make_pod(phase="Failed", state=ended(137), spec={"containers": [FENCED]})
    failure = observe(pod, PROBE_FAILED).failure

    assert failure is not None
    assert (failure.code, failure.kind) == ("CutOff", SYSTEM)


def test_users_own_failed_probe_is_user_failure() -> None:
    pod = make_pod(phase="Failed", state=ended(137), spec={"containers": [OTHERWISE_LIVE]})
    failure = observe(pod, PROBE_FAILED).failure

    assert failure is not None
    assert (failure.code, failure.kind) == ("LivenessProbeFailed", USER)


def test_pod_without_its_primary_container_fails_at_once() -> None:
    annotations = {"kubectl.kubernetes.io/default-container": "primary"}
    seen = observe(make_pod(phase="Pending", metadata={"annotations": annotations}))

    assert seen.failure is not None
    assert seen.failure.code == "PrimaryContainerNotFound"
    assert not seen.failure.recoverable


def being_deleted(code: int, *, seconds_ago: float) -> Object:
    """Make a pod whose deletion was requested half a minute ago."""
    metadata = {"deletionTimestamp": ago(0), "deletionGracePeriodSeconds": 30}
    state = ended(code, seconds_ago=seconds_ago)
    return make_pod(phase="Failed" if code else "Succeeded", state=state, metadata=metadata)


@pytest.mark.parametrize("code", [1, 137, 143])
def test_exit_code_after_deletion_is_a_deletion(code: int) -> None:
    failure = observe(being_deleted(code, seconds_ago=5)).failure

    assert failure is not None
    assert failure.code == "DeletedFromOutside"


def test_exit_code_before_deletion_is_the_tasks_own() -> None:
    failure = observe(being_deleted(3, seconds_ago=60)).failure

    assert failure is not None
    assert failure.code == "NonZeroExit"


def test_exit_code_0_before_deletion_is_success() -> None:
    assert observe(being_deleted(0, seconds_ago=60)) == Observation(stage=Stage.SUCCEEDED)


def test_deleted_pod_was_deleted_from_outside() -> None:
    failure = failures.classify_deleted([make_pod(state=runs())])

    assert (failure.code, failure.kind) == ("DeletedFromOutside", SYSTEM)


def test_pod_deleted_by_drain_was_drained() -> None:
    pod = make_pod(state=runs(), status={"conditions": [disrupted("EvictionByEvictionAPI")]})

    assert failures.classify_deleted([pod]).code == "Drained"


def test_termination_message_replaces_a_missing_log() -> None:
    assert list(failures.last_words(failed(3, message="one\ntwo"))) == ["one", "two"]


def test_container_that_could_not_start_never_began() -> None:
    state = ended(128, "StartError")
    state["terminated"]["startedAt"] = "1970-01-01T00:00:00Z"  # as kubelets have it

    assert statuses.began_at(make_pod(phase="Failed", state=state)) is None


def killed_beside(other: Object, *, code: int = 137, spec: Object | None = None) -> Object:
    """Make a pod whose task the kernel killed, as the kubelet shows it if it does not know why."""
    main = make_status("main", ended(code, seconds_ago=10))
    key = "initContainerStatuses" if spec else "containerStatuses"
    shown: dict[str, object] = {"containerStatuses": [main]}
    shown[key] = [*([] if spec else [main]), other]
    return make_pod(phase="Failed", spec=spec, status=shown)


SIDECAR = {"initContainers": [COPILOT]}


@pytest.mark.parametrize(
    ("pod", "code"),
    [
        (killed_beside(make_status("proxy", ended(137, "OOMKilled"))), "OOMKilled"),
        (killed_beside(make_status("proxy", ended(0, "OOMKilled"))), "OOMKilled"),
        (killed_beside(make_status("proxy", ended(137, "OOMKilled")), code=247), "OOMKilled"),
        (
            killed_beside(make_status(COPILOT["name"], ended(137, "OOMKilled")), spec=SIDECAR),
            "OOMKilled",
        ),
        (
            killed_beside({**make_status("proxy", runs()), "lastState": ended(137, "OOMKilled")}),
            "OOMKilled",
        ),
        (killed_beside(make_status("proxy", ended(137))), "Interrupted"),
        (
            killed_beside(make_status("proxy", ended(137, "OOMKilled", seconds_ago=200))),
            "Interrupted",
        ),
        (killed_beside(make_status("proxy", ended(137, "OOMKilled")), code=143), "Interrupted"),
        (killed_beside(make_status("proxy", ended(137, "OOMKilled")), code=3), "NonZeroExit"),
        (
            killed_beside(
                make_status("fetch", ended(137, "OOMKilled")),
                spec={"initContainers": [{"name": "fetch", "image": "fetch:1"}]},
            ),
            "Interrupted",
        ),
    ],
    ids=[
        "both-killed",
        "other-ended-well",
        "launcher-reports-the-kill",
        "sidecar-killed",
        "restarted-container-killed",
        "no-lack-of-memory",
        "another-time",
        "asked-to-stop",
        "own-exit",
        "init-container-long-before",
    ],
)
def test_kill_while_the_pod_has_no_memory_left_is_a_memory_failure(pod: Object, code: str) -> None:
    failure = observe(pod).failure

    assert failure is not None
    assert failure.code == code
