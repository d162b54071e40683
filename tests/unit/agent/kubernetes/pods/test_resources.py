"""Requests and limits of a container."""

import flyte
import pytest
from flyteidl2.core import tasks_pb2
from flyteidl2.task import run_pb2
from kubernetes.client import V1Container, V1PodSpec, V1ResourceRequirements

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods import Accelerator, PodTemplates
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    PROXY,
    build,
    main_container,
    make_task,
    serialise,
    volume,
    with_template,
)


def ask(resources: flyte.Resources | None, cluster: PodTemplates = CLUSTER) -> Object:
    found: Object = main_container(build(serialise(make_task(resources=resources)), cluster))[
        "resources"
    ]
    return found


def test_task_without_requests_gets_the_clusters_defaults() -> None:
    modest = PodTemplates(proxy=PROXY, defaults={"cpu": "250m", "memory": "300Mi"})

    assert ask(None) == both(cpu="1", memory="1Gi")
    assert ask(None, modest) == both(cpu="250m", memory="300Mi")


def both(**amounts: str) -> dict[str, dict[str, str]]:
    named = {name.replace("_", "-"): amount for name, amount in amounts.items()}
    return {"requests": named, "limits": named}


def test_request_without_limit_is_the_limit() -> None:
    asked = flyte.Resources(cpu="500m", memory="2Gi", disk="10Gi")

    assert ask(asked) == both(cpu="500m", ephemeral_storage="10Gi", memory="2Gi")


def test_request_and_limit_are_both_kept() -> None:
    asked = ask(flyte.Resources(cpu=(1, 2), memory=("1Gi", "4Gi")))

    assert asked["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert asked["limits"] == {"cpu": "2", "memory": "4Gi"}


def test_limit_without_request_is_the_request() -> None:
    limits = tasks_pb2.Resources(
        limits=[tasks_pb2.Resources.ResourceEntry(name=tasks_pb2.Resources.MEMORY, value="3Gi")]
    )
    job = with_template(serialise(make_task()), container=tasks_pb2.Container(resources=limits))

    assert main_container(build(job))["resources"] == both(cpu="1", memory="3Gi")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (flyte.Resources(memory="lots"), r"'lots' is not an amount of memory; write"),
        (flyte.Resources(cpu=(4, 2)), r"primary requests 4 of cpu and is limited to 2; raise"),
        (flyte.Resources(memory="64Gi"), r"requests 64Gi of memory and .* allows .* 32Gi at most"),
        (
            flyte.Resources(cpu=(1, 9)),
            r"requests 9 of cpu and this cluster allows a container 8 at",
        ),
    ],
)
def test_request_over_the_clusters_maximum_is_refused(asked: flyte.Resources, message: str) -> None:
    cluster = PodTemplates(proxy=PROXY, maxima={"memory": "32Gi", "cpu": "8"})

    with pytest.raises(BadSpecError, match=message):
        ask(asked, cluster)


def test_default_is_capped_at_the_clusters_maximum() -> None:
    tiny = PodTemplates(proxy=PROXY, maxima={"memory": "512Mi"})

    assert ask(None, tiny) == both(cpu="1", memory="512Mi")


def test_settings_of_a_run_override_defaults_and_maxima() -> None:
    def entries(**amounts: str) -> list[tasks_pb2.Resources.ResourceEntry]:
        names = tasks_pb2.Resources.ResourceName
        return [
            tasks_pb2.Resources.ResourceEntry(name=names.Value(name.upper()), value=amount)
            for name, amount in amounts.items()
        ]

    raw = run_pb2.DefaultSettings(
        task_resource_defaults=run_pb2.TaskResourceDefaults(
            requests=entries(memory="3Gi"), max=entries(memory="4Gi")
        )
    )
    usual = serialise(make_task(), default_settings=raw)
    greedy = serialise(make_task(resources=flyte.Resources(memory="5Gi")), default_settings=raw)

    assert main_container(build(usual))["resources"] == both(cpu="1", memory="3Gi")
    with pytest.raises(
        BadSpecError, match=r"task_resource.max in the settings of its run.s project allows 4Gi"
    ):
        build(greedy)


def test_gpu_is_requested_as_resource_and_selected_by_node_label() -> None:
    pod = build(serialise(make_task(resources=flyte.Resources(gpu="T4:2"))))

    asked = main_container(pod)["resources"]
    assert asked["requests"]["nvidia.com/gpu"] == asked["limits"]["nvidia.com/gpu"] == "2"
    assert pod["spec"]["nodeSelector"] == {"k8s.amazonaws.com/accelerator": "nvidia-tesla-t4"}
    tolerated = {each["key"] for each in pod["spec"]["tolerations"]}
    assert tolerated == {"k8s.amazonaws.com/accelerator", "nvidia.com/gpu"}


def test_gpu_count_without_device_selects_any_gpu() -> None:
    pod = build(serialise(make_task(resources=flyte.Resources(gpu=1))))

    assert main_container(pod)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nodeSelector" not in pod["spec"]


def test_gpu_partition_is_selected_by_its_size() -> None:
    asked = flyte.Resources(gpu=flyte.GPU("A100", 1, partition="1g.5gb"))
    pod = build(serialise(make_task(resources=asked)))

    assert pod["spec"]["nodeSelector"]["k8s.amazonaws.com/gpu-partition-size"] == "1g.5gb"


def test_whole_gpu_excludes_partitioned_nodes() -> None:
    whole = tasks_pb2.ExtendedResources(
        gpu_accelerator=tasks_pb2.GPUAccelerator(device="nvidia-tesla-a100", unpartitioned=True)
    )
    job = with_template(serialise(make_task()), extended_resources=whole)
    required = build(job)["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]

    assert required["nodeSelectorTerms"] == [
        {
            "matchExpressions": [
                {"key": "k8s.amazonaws.com/gpu-partition-size", "operator": "DoesNotExist"}
            ]
        }
    ]


@pytest.mark.parametrize(
    ("device", "resource"),
    [
        (flyte.GPU("T4", 1), "nvidia.com/gpu"),
        (flyte.TPU("V5P", "2x2x1"), "google.com/tpu"),
        (flyte.AMD_GPU("MI300X"), "amd.com/gpu"),
        (flyte.Neuron("Inf2"), "aws.amazon.com/neuron"),
        (flyte.HABANA_GAUDI("Gaudi1"), "habana.ai/gaudi"),
    ],
)
def test_device_class_is_a_resource(device: flyte.Device, resource: str) -> None:
    cluster = PodTemplates(proxy=PROXY)

    assert resource in ask(flyte.Resources(gpu=device), cluster)["limits"]


def test_unknown_device_class_is_refused() -> None:
    cluster = PodTemplates(
        proxy=PROXY, accelerators={"NVIDIA_GPU": Accelerator(resource="nvidia.com/gpu")}
    )

    with pytest.raises(BadSpecError, match="no devices of class GOOGLE_TPU, only NVIDIA_GPU"):
        ask(flyte.Resources(gpu=flyte.TPU("V5P", "2x2x1")), cluster)
    with pytest.raises(BadSpecError, match="no devices of class 5"):
        ask(flyte.Resources(gpu="AppleSilicon"), cluster)


def test_gpu_count_uses_the_clusters_gpu_resource() -> None:
    other = PodTemplates(proxy=PROXY, accelerators={"AMD_GPU": Accelerator(resource="amd.com/gpu")})
    none = PodTemplates(proxy=PROXY, accelerators={})

    assert ask(flyte.Resources(gpu=2), other)["limits"]["amd.com/gpu"] == "2"
    assert ask(flyte.Resources(cpu=2), none)["limits"]["cpu"] == "2"


@pytest.mark.parametrize(("size", "written"), [("2Gi", {"sizeLimit": "2Gi"}), ("auto", {})])
def test_shared_memory_is_a_file_system_in_memory(size: str, written: dict[str, str]) -> None:
    pod = build(serialise(make_task(resources=flyte.Resources(shm=size))))

    assert {"name": "flyte-shm", "mountPath": "/dev/shm"} in main_container(pod)["volumeMounts"]  # noqa: S108
    assert volume(pod, "flyte-shm")["emptyDir"] == {"medium": "Memory", **written}


def test_pod_template_resources_are_merged_with_the_tasks() -> None:
    own = V1ResourceRequirements(
        requests={"example.test/widget": 2, "memory": "1Gi"}, limits={"example.test/widget": "2"}
    )
    template = flyte.PodTemplate(
        pod_spec=V1PodSpec(
            containers=[
                V1Container(name="primary", resources=own),
                V1Container(
                    name="beside",
                    image="i",
                    resources=V1ResourceRequirements(limits={"gpu": 1}),
                ),
            ]
        )
    )
    asked = flyte.Resources(memory="2Gi", gpu=1)
    pod = build(serialise(make_task(pod_template=template, resources=asked)))

    assert main_container(pod)["resources"]["limits"] == {
        "cpu": "1",
        "example.test/widget": "2",
        "memory": "2Gi",
        "nvidia.com/gpu": "1",
    }
    assert main_container(pod, "beside")["resources"] == {"limits": {"nvidia.com/gpu": "1"}}
