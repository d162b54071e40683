"""A row for every reason for which a pod does not run yet."""

from datetime import timedelta

import pytest

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Observation, Stage
from shared.model.reports import FailureKind
from tests.unit.agent.assignments import NOW
from tests.unit.agent.kubernetes.objects import (
    ago,
    ended,
    make_event,
    make_pod,
    make_status,
    observe,
    runs,
    waits,
)

USER, SYSTEM = FailureKind.USER, FailureKind.SYSTEM

NOT_FOUND = (
    'Failed to pull image "registry.example/team/train:1": rpc error: code = NotFound desc = '
    'failed to pull and unpack image "registry.example/team/train:1": not found'
)
TOO_MANY = (
    'Failed to pull image "registry.example/team/train:1": failed to copy: httpReadSeeker: '
    "unexpected status code https://registry.example/v2/: 429 Too Many Requests - Server message: "
    "toomanyrequests: You have reached your pull rate limit"
)
UNAVAILABLE = (
    'Failed to pull image "registry.example/team/train:1": unexpected status from HEAD request to '
    "https://registry.example/v2/team/train/manifests/1: 503 Service Unavailable"
)
BACK_OFF = 'Back-off pulling image "registry.example/team/train:1"'


def pending(reason: str, message: str = "") -> Object:
    return make_pod(phase="Pending", state=waits(reason, message))


def since(seconds: float, message: str) -> list[Object]:
    return [make_event("Failed", message, seconds_ago=seconds)]


@pytest.mark.parametrize(
    ("pod", "events", "reason"),
    [
        (pending("ContainerCreating"), [], "ContainerCreating"),
        (pending("PodInitializing"), [], "PodInitializing"),
        (make_pod(phase="Pending"), [], "ContainerCreating"),
        (
            pending("ContainerCreating"),
            [make_event("Pulling", 'Pulling image "registry.example/team/train:1"')],
            "Pulling",
        ),
        (
            pending("ContainerCreating"),
            [make_event("FailedCreatePodSandBox", "cni plugin not initialized")],
            "FailedCreatePodSandBox",
        ),
        (
            pending("ContainerCreating"),
            [make_event("FailedMount", 'secret "keys" not found', seconds_ago=60)],
            "FailedMount",
        ),
        (pending("ErrImagePull", NOT_FOUND), since(30, NOT_FOUND), "ErrImagePull"),
        (pending("ImagePullBackOff", BACK_OFF), since(170, NOT_FOUND), "ImagePullBackOff"),
        (
            pending("CreateContainerConfigError", 'secret "keys" not found'),
            since(10, 'Error: secret "keys" not found'),
            "CreateContainerConfigError",
        ),
        (
            pending("CreateContainerError", "context deadline exceeded"),
            since(100, "Error: context deadline exceeded"),
            "CreateContainerError",
        ),
        (pending("SomethingNew", "never heard of"), [], "SomethingNew"),
    ],
    ids=[
        "creating", "initialising", "no-status", "pulling", "sandbox", "mount", "pull", "back-off",
        "config", "create", "unheard-of",
    ],
)  # fmt: skip
def test_transient_pending_reason_is_reported(
    pod: Object, events: list[Object], reason: str
) -> None:
    seen = observe(pod, events)

    assert (seen.stage, seen.reason) == (Stage.INITIALIZING, reason)


@pytest.mark.parametrize(
    ("pod", "events", "code", "kind", "recoverable"),
    [
        (pending("ImagePullBackOff", BACK_OFF), since(181, NOT_FOUND), "ImagePullBackOff", USER, 1),
        (pending("ErrImagePull", NOT_FOUND), since(181, NOT_FOUND), "ImagePullBackOff", USER, 1),
        (pending("ErrImageNeverPull"), [], "ImagePullBackOff", USER, 1),
        (
            pending("ImagePullBackOff", BACK_OFF),
            since(181, TOO_MANY),
            "ImagePullBackOff",
            SYSTEM,
            1,
        ),
        (
            pending("ImagePullBackOff", f"{BACK_OFF}: ErrImagePull: {UNAVAILABLE}"),
            [],
            "ImagePullBackOff",
            SYSTEM,
            1,
        ),
        (pending("InvalidImageName", "couldn't parse"), [], "InvalidImageName", USER, 0),
        (
            pending("CreateContainerConfigError", 'secret "keys" not found'),
            since(31, 'Error: secret "keys" not found'),
            "CreateContainerConfigError",
            USER,
            0,
        ),
        (
            pending("CreateContainerError", "no such device"),
            since(181, "Error: no such device"),
            "CreateContainerError",
            USER,
            1,
        ),
        (
            pending("ContainerCreating"),
            [make_event("FailedMount", 'MountVolume.SetUp failed: secret "keys" not found', seconds_ago=301)],
            "FailedMount",
            USER,
            0,
        ),
    ],
    ids=[
        "image",
        "image-between-two-tries",
        "image-never-pulled",
        "registry-429",
        "registry-503",
        "image-name",
        "config",
        "create",
        "mount",
    ],
)  # fmt: skip
def test_permanent_pending_reason_is_a_failure(
    pod: Object, events: list[Object], code: str, kind: FailureKind, recoverable: int
) -> None:
    failure = observe(pod, events).failure

    assert failure is not None
    assert (failure.code, failure.kind, failure.recoverable) == (code, kind, bool(recoverable))


def test_failed_image_pull_is_reported_with_cause_and_image() -> None:
    failure = observe(pending("ImagePullBackOff", BACK_OFF), since(200, NOT_FOUND)).failure

    assert failure is not None
    assert "code = NotFound" in failure.message
    assert "registry.example/team/train:1" in failure.message


def test_image_timeout_starts_at_the_first_failed_pull() -> None:
    placed_long_ago = pending("ErrImagePull", NOT_FOUND)  # ten minutes: a large image
    seen = observe(placed_long_ago, since(1, NOT_FOUND))

    assert seen.stage is Stage.INITIALIZING
    assert seen.observe_again_at == NOW + timedelta(seconds=179)


def test_unschedulable_pod_is_queued_with_the_schedulers_message() -> None:
    sentence = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": sentence,
        "lastTransitionTime": ago(100),
    }
    seen = observe(make_pod(phase="Pending", placed=False, status={"conditions": [condition]}))

    assert (seen.stage, seen.reason, seen.message) == (Stage.QUEUED, "Unschedulable", sentence)


def test_unscheduled_pod_without_conditions_is_queued_without_a_reason() -> None:
    seen = observe(make_pod(phase="Pending", placed=False))

    assert seen == Observation(
        stage=Stage.QUEUED, observe_again_at=NOW - timedelta(seconds=610) + timedelta(hours=1)
    )


def test_pending_too_long_is_a_failure_of_the_cluster_with_the_last_reason() -> None:
    pod = pending("ContainerCreating")
    events = [make_event("FailedAttachVolume", "the volume is attached elsewhere")]
    failure = observe(pod, events, timeouts=PendingTimeouts(pending=timedelta(minutes=10))).failure

    assert failure is not None
    assert (failure.code, failure.kind) == ("PendingTooLong", SYSTEM)
    assert failure.message.endswith("FailedAttachVolume: the volume is attached elsewhere")


def test_pending_pod_without_a_timeout_never_fails() -> None:
    seen = observe(pending("ContainerCreating"), timeouts=PendingTimeouts(pending=None))

    assert seen == Observation(stage=Stage.INITIALIZING, reason="ContainerCreating")


def test_running_init_container_is_named() -> None:
    pod = make_pod(
        phase="Pending",
        state=waits("PodInitializing"),
        status={"initContainerStatuses": [make_status("fetch", runs())]},
    )
    seen = observe(pod)

    assert (seen.reason, seen.message) == ("PodInitializing", "init container fetch is running")


def test_init_containers_image_is_checked() -> None:
    pod = make_pod(
        phase="Pending",
        state=waits("PodInitializing"),
        status={
            "initContainerStatuses": [
                make_status("first", ended(0)),
                make_status("fetch", waits("InvalidImageName", "couldn't parse")),
            ]
        },
    )
    failure = observe(pod).failure

    assert failure is not None
    assert failure.code == "InvalidImageName"
    assert failure.message.startswith("container fetch ")


def test_our_own_container_that_does_not_start_is_not_the_users_fault() -> None:
    pod = make_pod(
        phase="Pending",
        state=waits("PodInitializing"),
        status={
            "initContainerStatuses": [
                make_status("volary-copilot-download", waits("ErrImageNeverPull"))
            ]
        },
    )
    failure = observe(pod).failure

    assert failure is not None
    assert failure.kind is SYSTEM


def test_started_sidecar_does_not_delay_the_task() -> None:
    sidecar = {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}
    pod = make_pod(
        phase="Pending",
        state=waits("ContainerCreating"),
        spec={"initContainers": [sidecar]},
        status={"initContainerStatuses": [{**make_status("proxy", runs()), "started": True}]},
    )

    assert observe(pod).reason == "ContainerCreating"


def test_running_container_is_not_pending() -> None:
    assert observe(make_pod(state=runs())) == Observation(stage=Stage.RUNNING)
