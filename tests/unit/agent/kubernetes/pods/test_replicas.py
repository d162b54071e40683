"""The pods of a distributed job's roles."""

import flyte
import pytest
from flyteidl2.core import tasks_pb2
from kubernetes.client import V1Container, V1PodSpec

from dataplane.agent.runtimes.kubernetes.pods import Replica
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    IMAGE,
    build,
    main_container,
    make_raw,
    make_task,
    serialise,
    values_of,
    with_template,
)

WORKER = Replica(role="worker")


def test_role_without_overrides_is_the_task() -> None:
    job = serialise(make_task(env_vars={"A": "1"}))
    worker, alone = build(job, replica=WORKER), build(job)

    assert worker["spec"] == alone["spec"]
    assert set(worker) == {"metadata", "spec"}
    assert "name" not in worker["metadata"]


def test_pods_are_labelled_with_attempt_and_role() -> None:
    metadata = build(serialise(make_task()), replica=WORKER)["metadata"]

    assert metadata["labels"]["volary.dev/role"] == "worker"
    assert metadata["labels"]["volary.dev/attempt"].endswith("-1")
    assert metadata["annotations"]["volary.dev/run"] == "r1"


def test_role_overrides_the_container() -> None:
    replica = Replica(
        role="launcher",
        container_name="mpi",
        image="mpi:1",
        command=["mpirun"],
        args=["--out={{.outputPrefix}}"],
        env={"A": "2", "B": "$(X)"},
        references=[{"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        resources=tasks_pb2.Resources(
            requests=[tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.CPU, value="3")]
        ),
        restart_policy="OnFailure",
        calls_kubernetes=True,
    )
    pod = build(serialise(make_task(env_vars={"A": "1"})), replica=replica)
    container = main_container(pod, "mpi")

    assert (container["image"], container["command"]) == ("mpi:1", ["mpirun"])
    assert container["args"] == ["--out=s3://bucket/acme/p/development/r1/a1/1"]
    assert (values_of(container)["A"], values_of(container)["B"]) == ("2", "$(X)")
    assert replica.references[0] in container["env"]
    assert container["resources"]["limits"] == {"cpu": "3", "memory": "1Gi"}
    assert pod["spec"]["restartPolicy"] == "OnFailure"
    assert pod["spec"]["automountServiceAccountToken"] is True
    assert pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "mpi"


def test_role_overrides_the_pod() -> None:
    spec = V1PodSpec(
        containers=[V1Container(name="ray-head", image="ray:2"), V1Container(name="b", image="b")],
        node_selector={"pool": "heads"},
    )
    own = flyte.PodTemplate(pod_spec=spec, primary_container_name="ray-head").to_k8s_pod()
    own.primary_container_name = "ray-head"
    pod = build(serialise(make_task()), replica=Replica(role="head", pod=own))

    assert main_container(pod, "ray-head")["image"] == "ray:2"
    assert values_of(main_container(pod, "ray-head"))["RUN_NAME"] == "r1"
    assert pod["spec"]["nodeSelector"] == {"pool": "heads"}


def test_roles_of_a_replaceable_job_are_fenced() -> None:
    job = serialise(make_task(), replaceable=True)

    assert "livenessProbe" in main_container(build(job, replica=WORKER))


def test_roles_have_no_copilot() -> None:
    assert "initContainers" not in build(make_raw(), replica=WORKER)["spec"]


def test_environment_and_resources_are_built_alone() -> None:
    job = serialise(make_task(env_vars={"A": "1"}))
    asked = tasks_pb2.Resources(
        requests=[tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.GPU, value="2")]
    )

    assert CLUSTER.environment(job) == main_container(build(job))["env"]
    assert CLUSTER.complete_resources(job, asked, "worker")["limits"] == {
        "cpu": "1",
        "memory": "1Gi",
        "nvidia.com/gpu": "2",
    }


def test_job_without_container_needs_one_in_the_role() -> None:
    job = with_template(serialise(make_task()), custom={})
    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(job.task.template)
    template.ClearField("container")
    bare = with_template(job)
    bare.task.template.ClearField("container")

    with pytest.raises(BadSpecError, match="neither a container nor a pod template"):
        build(bare, replica=WORKER)
    own = flyte.PodTemplate(
        pod_spec=V1PodSpec(containers=[V1Container(name="primary", image=IMAGE)])
    ).to_k8s_pod()
    assert main_container(build(bare, replica=Replica(role="worker", pod=own)))["image"] == IMAGE
