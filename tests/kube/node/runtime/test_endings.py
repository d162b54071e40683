"""How attempts end on a real node: a test for each way that can be brought about."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from flyteidl2.core import tasks_pb2

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.kube import images
from tests.kube.attempts import error_document
from tests.kube.client import KubeClient, KubeError
from tests.kube.node.runtime.conftest import Begin

USER, SYSTEM, PREEMPTION = FailureKind.USER, FailureKind.SYSTEM, FailureKind.PREEMPTION
SOON = PendingTimeouts(
    image=timedelta(seconds=3), config=timedelta(seconds=2), volume=timedelta(seconds=2)
)
GREEDY = "b = [b'x' * 1_000_000 for _ in range(500)]"


def make_pod(script: str = "true", **output: Any) -> dict[str, Any]:
    """Make a pod template of one container; ``said`` of that, or of the pod by ``pod_…``."""
    container = {
        "name": "primary",
        "image": images.TASK_IMAGE,
        "command": ["sh", "-c", script],
        **{name: value for name, value in output.items() if not name.startswith("pod_")},
    }
    of_pod = {name[4:]: value for name, value in output.items() if name.startswith("pod_")}
    return {**of_pod, "containers": [container, *of_pod.get("containers", [])]}


def code_of(end: StatusUpdate) -> tuple[str, FailureKind] | None:
    return None if end.failure is None else (end.failure.code, end.failure.kind)


async def is_quiet(api: KubeClient, path: str) -> bool:
    """Whether no container of the pod runs; the object itself may leave a moment later."""
    try:
        pod = await api.get(path)
    except KubeError as error:
        return error.code == 404
    return pod["status"]["phase"] in {"Succeeded", "Failed"}


async def test_exit_code_0_is_success_and_costs_one_write(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("echo hello")
        attempt = await agent.start(job)
        end = await attempt.end()
        writes = {
            key[:2]: count
            for key, count in agent.cluster.kube.requests.items()
            if key[0] in {"create", "patch", "update", "delete"}
        }

    assert end.phase is Phase.SUCCEEDED, end.failure
    assert end.output_uri == job.assignment.output_prefix
    assert set(attempt.last_reported.phases) <= {Phase.INITIALIZING, Phase.RUNNING}
    assert writes == {("create", "pods"): 1, ("create", "taskactions"): 1}  # that is the test's


async def test_nonzero_exit_quotes_last_log_lines(begin: Begin) -> None:
    async with begin() as agent:
        end = await agent.run(await agent.jobs.make("echo one; echo two; exit 3"))

    assert (end.phase, code_of(end)) == (Phase.FAILED, ("NonZeroExit", USER))
    assert end.failure is not None
    assert end.failure.message.endswith("Its last lines:\none\ntwo")
    assert end.log_uri.endswith("/logs.jsonl.gz")


async def test_cluster_events_are_reported_once(begin: Begin) -> None:
    async with begin() as agent:
        attempt = await agent.start(await agent.jobs.make("sleep 1"))
        end = await attempt.end()

    events = [event for update in [*attempt.last_reported.all, end] for event in update.events]
    assert {"Scheduled", "Pulled", "Started"} <= {event.reason for event in events}
    assert len(events) == len(set(events))


async def test_too_much_memory(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(
            command=["python3", "-c", GREEDY], limits={tasks_pb2.Resources.MEMORY: "64Mi"}
        )
        end = await agent.run(job)

    assert code_of(end) == ("OOMKilled", USER)
    assert end.failure is not None
    assert "64Mi" in end.failure.message


async def test_too_much_memory_of_a_child_that_the_task_does_not_notice(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make(
            f'python3 -c "{GREEDY}"; true', limits={tasks_pb2.Resources.MEMORY: "64Mi"}
        )
        end = await agent.run(job)

    assert code_of(end) == ("OOMKilled", USER)


async def test_killed_from_outside(begin: Begin) -> None:
    async with begin() as agent:
        end = await agent.run(await agent.jobs.make("sh -c 'kill -9 $$'; exit $?"))

    assert code_of(end) == ("Interrupted", SYSTEM)


async def test_error_document_takes_precedence_over_exit_code(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("exit 0")
        agent.jobs.leave(job, "error.pb", error_document("ValueError", "no such thing"))
        end = await agent.run(job)

    assert code_of(end) == ("ValueError", USER)


async def test_missing_outputs(begin: Begin) -> None:
    async with begin() as agent:
        end = await agent.run(await agent.jobs.make("echo hello", outputs=["o0"]))

    assert code_of(end) == ("OutputsMissing", USER)


MISSING_KEY = {
    "name": "KEY",
    "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "key"}},
}
MISSING_VOLUME = [{"name": "files", "secret": {"secretName": "no-such-secret"}}]
MOUNT = [{"name": "files", "mountPath": "/files"}]


@pytest.mark.parametrize(
    ("pod", "code", "reasons"),
    [
        (
            make_pod(image="volary.test/nowhere:1"),  # nobody resolves that name here
            ("ImagePullBackOff", SYSTEM),
            {"ErrImagePull"},
        ),
        (
            make_pod(image="volary.test/nowhere:1", imagePullPolicy="Never"),
            ("ImagePullBackOff", USER),
            {"ErrImageNeverPull"},
        ),
        (make_pod(image="registry.test/UPPER:1"), ("InvalidImageName", USER), set()),
        (
            make_pod(env=[MISSING_KEY]),
            ("CreateContainerConfigError", USER),
            {"CreateContainerConfigError"},
        ),
        (
            make_pod(volumeMounts=MOUNT, pod_volumes=MISSING_VOLUME),
            ("FailedMount", USER),
            {"FailedMount"},
        ),
        (make_pod(command=["/no/such/program"]), ("StartError", USER), set()),
        (
            make_pod(
                pod_initContainers=[
                    {"name": "first", "image": images.TASK_IMAGE, "command": ["sh", "-c", "exit 4"]}
                ]
            ),
            ("InitContainerFailed", USER),
            set(),
        ),
        (make_pod("sleep 600", pod_activeDeadlineSeconds=2), ("MAX_RUNTIME_EXCEEDED", USER), set()),
        (
            make_pod(
                "head -c 5000000 /dev/zero > /files/large; sleep 600",
                volumeMounts=MOUNT,
                pod_volumes=[{"name": "files", "emptyDir": {"sizeLimit": "1Mi"}}],
            ),
            ("EphemeralStorageExceeded", USER),
            set(),
        ),
    ],
    ids=[
        "registry",
        "image",
        "image-name",
        "config",
        "volume",
        "program",
        "init",
        "deadline",
        "disk",
    ],
)
async def test_failures_caused_by_pod_template(
    begin: Begin, pod: Mapping[str, Any], code: tuple[str, FailureKind], reasons: set[str]
) -> None:
    async with begin(timeouts=SOON) as agent:
        attempt = await agent.start(await agent.jobs.make(pod=pod))
        end = await attempt.end(within=90)

    assert code_of(end) == code
    assert reasons <= {update.reason for update in attempt.last_reported.all}
    assert end.phase is (Phase.TIMED_OUT if code[0] == "MAX_RUNTIME_EXCEEDED" else Phase.FAILED)


async def test_unschedulable_pod_is_reported_with_scheduler_message_and_fails_in_time(
    begin: Begin,
) -> None:
    pod = make_pod(pod_nodeSelector={"pool": "none-of-these"})
    async with begin(timeouts=PendingTimeouts(pending=timedelta(seconds=4))) as agent:
        attempt = await agent.start(await agent.jobs.make(pod=pod))
        waiting = await attempt.last_reported.until(Phase.WAITING_FOR_RESOURCES)
        end = await attempt.end()

    assert waiting.reason == "Unschedulable"
    assert "0/1 nodes are available" in waiting.message
    assert code_of(end) == ("PendingTooLong", SYSTEM)
    assert end.failure is not None
    assert "0/1 nodes are available" in end.failure.message


async def test_task_over_max_runtime_is_killed_and_its_pod_deleted(
    begin: Begin, node_api: KubeClient
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("echo begun; sleep 600", max_runtime=timedelta(seconds=2))
        end = await agent.run(job)
        assert await is_quiet(node_api, agent.jobs.path(job))

    assert (end.phase, code_of(end)) == (Phase.TIMED_OUT, ("MAX_RUNTIME_EXCEEDED", USER))
    assert end.failure is not None
    assert "begun" in end.failure.message


async def test_pod_deleted_from_outside_is_a_failure(begin: Begin, node_api: KubeClient) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("sleep 600")
        attempt = await agent.start(job)
        await attempt.last_reported.until(Phase.RUNNING)
        await node_api.delete(agent.jobs.path(job), gracePeriodSeconds="1")
        end = await attempt.end()

    assert code_of(end) == ("DeletedFromOutside", SYSTEM)


async def test_pod_evicted_by_drain_is_preempted(begin: Begin, node_api: KubeClient) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("sleep 600")
        attempt = await agent.start(job)
        await attempt.last_reported.until(Phase.RUNNING)
        path = agent.jobs.path(job)
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": path.rpartition("/")[2]},
            "deleteOptions": {"gracePeriodSeconds": 1},
        }
        await node_api.create(f"{path}/eviction", eviction)
        end = await attempt.end()

    assert code_of(end) == ("Drained", PREEMPTION)


async def test_task_ends_while_another_container_still_runs(
    begin: Begin, node_api: KubeClient
) -> None:
    other = {"name": "other", "image": images.TASK_IMAGE, "command": ["sleep", "600"]}
    pod = make_pod("exit 0", pod_containers=[other])
    pod["terminationGracePeriodSeconds"] = 1
    async with begin() as agent:
        job = await agent.jobs.make(pod=pod)
        end = await agent.run(job)
        assert await is_quiet(node_api, agent.jobs.path(job))

    assert end.phase is Phase.SUCCEEDED, end.failure
