"""Statuses that operators write, and the agent's observation of them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext, Stage
from dataplane.agent.runtimes.kubernetes.pods.metadata import ROLE_LABEL
from shared.model.reports import FailureKind
from tests.unit.agent.assignments import NOW
from tests.unit.agent.kubernetes.objects import ago, disrupted, ended, make_pod, runs, waits
from tests.unit.agent.kubernetes.plugins.jobs import SDK_TASKS, build, plugin_of, sdk_job

Status = Mapping[str, Any]


def _observe(
    task: str, status: Status, *pods: Object, after: timedelta = timedelta(0)
) -> Observation:
    job = sdk_job(task)
    resource = build(job)
    resource["metadata"]["creationTimestamp"] = ago(10)
    around = ObservationContext(now=NOW + after, pods=pods, events=())
    return plugin_of(job).observe(job, {**resource, "status": status}, around)


def _worker(name: str, role: str, **raw: Any) -> Object:
    metadata = {"name": name, "labels": {ROLE_LABEL: role}}
    return make_pod(metadata=metadata, **raw)


def _condition(kind: str, **raw: str) -> Status:
    """As Kubeflow writes conditions: earlier ones stay, and hold no more."""
    earlier = {"type": "Created", "status": "True", "reason": "Created", "message": "made"}
    return {"conditions": [earlier, {"type": kind, "status": "True", **raw}]}


def _jobset(kind: str, **raw: str) -> Status:
    return {"conditions": [{"type": kind, "status": "True", **raw}], "restarts": 0}


def _counted(**counts: int) -> Status:
    return {"replicatedJobsStatus": [{"name": "workers", **counts}]}


def _spark(state: str, message: str = "") -> Status:
    return {"applicationState": {"state": state, "errorMessage": message}}


def _ray(deployment: str, job: str = "", **raw: str) -> Status:
    return {"jobDeploymentStatus": deployment, "jobStatus": job, **raw}


GOING: list[tuple[str, Status, Stage, str]] = [
    ("clustered-task", {}, Stage.QUEUED, "WaitingForOperator"),
    ("clustered-task", _counted(ready=0, active=1), Stage.QUEUED, "Created"),
    ("clustered-task", _counted(ready=1, active=1), Stage.RUNNING, ""),
    ("clustered-task", {"restarts": 1}, Stage.QUEUED, "Restarting"),
    ("clustered-task", _jobset("Suspended"), Stage.QUEUED, "Suspended"),
    ("dask", {}, Stage.QUEUED, "WaitingForOperator"),
    ("dask", {"jobStatus": "JobCreated"}, Stage.QUEUED, "JobCreated"),
    ("dask", {"jobStatus": "ClusterCreated"}, Stage.QUEUED, "ClusterCreated"),
    ("dask", {"jobStatus": "Running"}, Stage.RUNNING, ""),
    ("pytorch", {}, Stage.QUEUED, "WaitingForOperator"),
    ("pytorch", {"conditions": None}, Stage.QUEUED, "WaitingForOperator"),
    ("pytorch", _condition("Created"), Stage.QUEUED, "Created"),
    ("pytorch", _condition("Running"), Stage.RUNNING, ""),
    ("pytorch", _condition("Restarting"), Stage.INITIALIZING, "Restarting"),
    ("pytorch", _condition("Suspended"), Stage.QUEUED, "Suspended"),
    ("ray", {}, Stage.QUEUED, "WaitingForOperator"),
    ("ray", _ray("Initializing"), Stage.INITIALIZING, "ClusterStarting"),
    ("ray", _ray("Waiting"), Stage.QUEUED, "Waiting"),
    ("ray", _ray("Suspended"), Stage.QUEUED, "Suspended"),
    ("ray", _ray("Running", "RUNNING"), Stage.RUNNING, ""),
    ("spark", {}, Stage.QUEUED, "WaitingForOperator"),
    ("spark", _spark("SUBMITTED"), Stage.QUEUED, "Submitted"),
    ("spark", _spark("PENDING_RERUN"), Stage.QUEUED, "PendingRerun"),
    ("spark", _spark("RUNNING"), Stage.RUNNING, ""),
    ("spark", _spark("SUCCEEDING"), Stage.RUNNING, ""),
    ("spark", _spark("FAILING"), Stage.RUNNING, ""),
]

SUCCEEDED: list[tuple[str, Status]] = [
    ("clustered-task", _jobset("Completed")),
    ("dask", {"jobStatus": "Successful"}),
    ("pytorch", _condition("Succeeded")),
    ("ray", _ray("Complete", "SUCCEEDED")),
    ("spark", _spark("COMPLETED")),
]

USER, SYSTEM = FailureKind.USER, FailureKind.SYSTEM
FAILED: list[tuple[str, Status, str, FailureKind, str]] = [
    (
        "clustered-task",
        _jobset("Failed", reason="ReachedMaxRestarts", message="jobset failed"),
        "ReachedMaxRestarts",
        USER,
        "jobset failed",
    ),
    ("dask", {"jobStatus": "Failed"}, "DaskJobFailed", USER, "runner failed"),
    (
        "pytorch",
        _condition("Failed", reason="PyTorchJobFailed", message="1 Worker replica(s) failed"),
        "PyTorchJobFailed",
        USER,
        "1 Worker replica(s) failed",
    ),
    ("ray", _ray("Failed", "FAILED", message="exit 1"), "RayJobFailed", USER, "exit 1"),
    ("ray", _ray("Complete", "FAILED", message="exit 1"), "RayJobFailed", USER, "exit 1"),
    ("ray", _ray("Complete", "STOPPED"), "RayJobStopped", USER, "the Ray job was stopped"),
    (
        "ray",
        _ray("Failed", reason="SubmissionFailed", message="no head"),
        "RaySubmissionFailed",
        SYSTEM,
        "no head",
    ),
    ("spark", _spark("FAILED", "driver failed"), "SparkFailed", USER, "driver failed"),
    (
        "spark",
        _spark("SUBMISSION_FAILED", "quota exceeded"),
        "SparkSubmissionFailed",
        SYSTEM,
        "quota exceeded",
    ),
]


@pytest.mark.parametrize(("task", "status", "stage", "reason"), GOING)
def test_on_its_way(task: str, status: Status, stage: Stage, reason: str) -> None:
    seen = _observe(task, status)
    assert (seen.stage, seen.reason) == (stage, reason)
    assert seen.failure is None


@pytest.mark.parametrize(("task", "status"), SUCCEEDED)
def test_succeeded(task: str, status: Status) -> None:
    seen = _observe(task, status)
    assert (seen.stage, seen.failure) == (Stage.SUCCEEDED, None)


@pytest.mark.parametrize(("task", "status", "code", "kind", "raw"), FAILED)
def test_failed(task: str, status: Status, code: str, kind: FailureKind, raw: str) -> None:
    seen = _observe(task, status)
    assert seen.stage is Stage.FAILED
    assert seen.failure is not None
    assert (seen.failure.code, seen.failure.kind) == (code, kind)
    assert raw in seen.failure.message


@pytest.mark.parametrize(("task", "status", "code", "kind", "raw"), FAILED)
def test_workers_memory_failure_is_the_jobs_reason(
    task: str, status: Status, code: str, kind: FailureKind, raw: str
) -> None:
    del code, kind, raw
    lost_its_peer = _worker("w-0", "worker", phase="Failed", state=ended(1, seconds_ago=20))
    out_of_memory = _worker(
        "w-1", "worker", phase="Failed", state=ended(137, "OOMKilled", seconds_ago=21)
    )
    running = _worker("w-2", "worker", state=runs())

    seen = _observe(task, status, lost_its_peer, running, out_of_memory)
    assert seen.failure is not None
    assert (seen.failure.code, seen.failure.kind) == ("OOMKilled", USER)
    assert seen.failure.message.startswith("pod w-1: ")


def test_more_specific_of_two_simultaneous_failures_is_the_reason() -> None:
    seen = _observe(
        "pytorch",
        _condition("Failed"),
        _worker("w-0", "worker", phase="Failed", state=ended(1, seconds_ago=20)),
        _worker("w-1", "worker", phase="Failed", state=ended(137, "OOMKilled", seconds_ago=20)),
    )
    assert seen.failure is not None
    assert seen.failure.code == "OOMKilled"


def test_lost_node_of_a_worker_is_system_failure() -> None:
    lost = disrupted("DeletionByTaintManager")
    pod = _worker(
        "w-0",
        "worker",
        phase="Failed",
        state=ended(137, seconds_ago=20),
        status={"conditions": [lost]},
    )
    seen = _observe("pytorch", _condition("Failed"), pod)
    assert seen.failure is not None
    assert (seen.failure.code, seen.failure.kind) == ("NodeLost", SYSTEM)


@pytest.mark.parametrize("task", SDK_TASKS)
def test_job_without_a_node_is_pending_with_the_reason(task: str) -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes are available"}  # fmt: skip
    pod = _worker("w-1", "worker", phase="Pending", placed=False, status={"conditions": [unplaced]})
    starting = {"clustered-task": _counted(active=1), "dask": {"jobStatus": "ClusterCreated"},
                "pytorch": _condition("Created"), "ray": _ray("Initializing"),
                "spark": _spark("SUBMITTED")}[task]  # fmt: skip
    seen = _observe(task, starting, pod)
    assert (seen.stage, seen.reason) == (Stage.QUEUED, "Unschedulable")
    assert seen.message == "pod w-1: 0/3 nodes are available"


@pytest.mark.parametrize("task", ["pytorch", "ray"])
def test_missing_image_fails_the_job_after_its_timeout(task: str) -> None:
    backing_off = waits("ImagePullBackOff", "Back-off pulling image")
    pod = _worker("w-0", "worker", phase="Pending", state=backing_off)
    status = _condition("Created") if task == "pytorch" else _ray("Initializing")

    early = _observe(task, status, pod, after=-timedelta(minutes=9))
    assert (early.stage, early.reason) == (Stage.INITIALIZING, "ImagePullBackOff")
    assert early.observe_again_at is not None
    late = _observe(task, status, pod, after=timedelta(minutes=30))
    assert late.stage is Stage.FAILED
    assert late.failure is not None
    assert late.failure.message.startswith("pod w-0: ")


@pytest.mark.parametrize("task", SDK_TASKS)
def test_silent_operator_is_named_after_a_minute(task: str) -> None:
    early = _observe(task, {})
    assert early.observe_again_at == NOW + timedelta(seconds=50)
    seen = _observe(task, {}, after=timedelta(minutes=2))
    assert (seen.stage, seen.reason) == (Stage.QUEUED, "OperatorSilent")
    assert "installed" in seen.message


@pytest.mark.parametrize(
    ("task", "status", "roles"),
    [
        ("ray", _ray("Running"), ["submitter", "head", "worker", "worker"]),
        ("spark", _spark("RUNNING"), ["driver", "executor", "executor"]),
        ("dask", {"jobStatus": "Running"}, ["runner", "scheduler", "worker"]),
        ("pytorch", _condition("Running"), ["master", "worker"]),
    ],
)
def test_main_pods_log_comes_first(task: str, status: Status, roles: list[str]) -> None:
    pods = [_worker(f"p-{number}", role) for number, role in enumerate(roles)]
    seen = _observe(task, status, *reversed(pods))
    assert seen.log_pods == [pod["metadata"]["name"] for pod in pods]


def test_workers_are_counted_as_people_count() -> None:
    pods = [_worker(f"w-{number}", "worker") for number in (10, 9, 0)]
    assert _observe("pytorch", _condition("Running"), *pods).log_pods == ["w-0", "w-9", "w-10"]


_WORDS = st.text(max_size=12) | st.sampled_from(["Retrying", "SUSPENDING", "RestartingJobSet"])


@settings(deadline=None)
@given(task=st.sampled_from(SDK_TASKS), word=_WORDS, other=_WORDS)
def test_unknown_status_counts_as_running(task: str, word: str, other: str) -> None:
    known = {state for _, status, *_ in [*GOING, *SUCCEEDED, *FAILED] for state in _words(status)}
    if {word, other} & known:
        return
    status = {
        "applicationState": {"state": word},
        "conditions": [{"type": word, "status": "True"}, {"type": other, "status": other}],
        "jobDeploymentStatus": word,
        "jobStatus": other,
    }
    seen = _observe(task, status)
    assert seen.stage in {Stage.QUEUED, Stage.INITIALIZING, Stage.RUNNING}


def _words(node: Any) -> set[str]:
    if isinstance(node, Mapping):
        return set().union(*map(_words, node.values()))
    if isinstance(node, list):
        return set().union(*map(_words, node))
    return {node} if isinstance(node, str) else set()
