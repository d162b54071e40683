"""Every setting of a run's org, domain or project that concerns pods is seen in the pod."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flyte
import pytest
from flyteidl2.core import tasks_pb2
from flyteidl2.task.run_pb2 import RunSpec
from google.protobuf import json_format
from kubernetes.client import V1Container, V1PodSpec, V1ResourceRequirements

from controlplane.api.convert.applied_settings import apply_settings
from controlplane.core.scoped_settings import InForce
from controlplane.core.scopes import ScopeLevel
from dataplane.agent.kube.objects import Name, Object
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, Security
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    CLUSTER,
    PROXY,
    build,
    main_container,
    make_task,
    serialise,
    values_of,
)

A100 = tasks_pb2.GPUAccelerator(device="nvidia-tesla-a100", unpartitioned=True)
TPU = tasks_pb2.GPUAccelerator(
    device="tpu-v5p-slice", device_class=tasks_pb2.GPUAccelerator.GOOGLE_TPU
)
LABEL = "k8s.amazonaws.com/accelerator"


def build_with(
    settings: Mapping[str, Any],
    *,
    asked: RunSpec | None = None,
    cluster: PodTemplates = CLUSTER,
    **task: Any,
) -> Object:
    """Build the pod of a run whose project has these settings."""
    effective = {key: InForce(value, ScopeLevel.PROJECT) for key, value in settings.items()}
    spec = apply_settings(asked or RunSpec(), effective)
    fields = {field.name: value for field, value in spec.ListFields()}
    return build(serialise(make_task(**task), **fields), cluster)


def default_of(device: tasks_pb2.GPUAccelerator) -> dict[str, str]:
    return {"task_resource.default_accelerator": json_format.MessageToJson(device)}


def test_settings_give_pods_labels_annotations_variables_and_account() -> None:
    asked = RunSpec()
    asked.labels.values["team"] = "of-the-run"

    pod = build_with(
        {
            "labels": {"team": "of-settings", "cost": "ml"},
            "annotations": {"example.com/owner": "ops"},
            "environment_variables": {"REGION": "eu"},
            "security.service_account": "trainer",
        },
        asked=asked,
        cluster=replace(CLUSTER, security=Security(service_accounts=("trainer",))),
    )

    labels = pod["metadata"]["labels"]
    assert (labels["team"], labels["cost"]) == ("of-the-run", "ml")
    assert pod["metadata"]["annotations"]["example.com/owner"] == "ops"
    assert values_of(main_container(pod))["REGION"] == "eu"
    assert pod["spec"]["serviceAccountName"] == "trainer"


def test_settings_name_the_pod_template_of_tasks_without_one() -> None:
    def template(node: str) -> Object:
        spec = {"nodeSelector": {"kind": node}, "containers": [{"name": "primary"}]}
        return {"template": {"spec": spec}}

    cluster = PodTemplates(
        proxy=PROXY,
        agent_namespace="volary",
        templates={Name("volary", each): template(each) for each in ("usual", "own")},
    )

    plain = build_with({"pod_template_name": "usual"}, cluster=cluster)
    named = build_with({"pod_template_name": "usual"}, cluster=cluster, pod_template="own")

    assert plain["spec"]["nodeSelector"] == {"kind": "usual"}
    assert named["spec"]["nodeSelector"] == {"kind": "own"}
    with pytest.raises(BadSpecError, match="PodTemplate 'missing' does not exist"):
        build_with({"pod_template_name": "missing"}, cluster=cluster)


def test_settings_minimum_is_the_request_of_tasks_without_one() -> None:
    settings = {
        "task_resource.min.cpu": "250m",
        "task_resource.min.memory": "3Gi",
        "task_resource.min.storage": "5Gi",
        "task_resource.min.gpu": "2",
    }

    plain = main_container(build_with(settings))["resources"]
    own = main_container(build_with(settings, resources=flyte.Resources(cpu="2")))["resources"]

    expected = {"cpu": "250m", "memory": "3Gi", "ephemeral-storage": "5Gi", "nvidia.com/gpu": "2"}
    assert plain == {"requests": expected, "limits": expected}
    assert own["requests"] == {**expected, "cpu": "2"}


@pytest.mark.parametrize(
    ("key", "most", "asked"),
    [
        ("cpu", "2", flyte.Resources(cpu="3")),
        ("memory", "1Gi", flyte.Resources(memory=("1Gi", "2Gi"))),
        ("storage", "1Gi", flyte.Resources(disk="2Gi")),
        ("gpu", "1", flyte.Resources(gpu=2)),
        ("gpu", "1", flyte.Resources(gpu="T4:2")),
    ],
)
def test_settings_maximum_refuses_a_container_that_requests_more(
    key: str, most: str, asked: flyte.Resources
) -> None:
    with pytest.raises(BadSpecError, match=f"task_resource.max in the settings .* allows {most}"):
        build_with({f"task_resource.max.{key}": most}, resources=asked)


def test_settings_maximum_lowers_the_clusters_default() -> None:
    pod = build_with({"task_resource.max.cpu": "500m"})

    assert main_container(pod)["resources"]["requests"]["cpu"] == "500m"


def test_default_accelerator_selects_nodes_for_tasks_that_request_any_device() -> None:
    settings = default_of(A100)

    any_device = build_with(settings, resources=flyte.Resources(gpu=1))
    own_device = build_with(settings, resources=flyte.Resources(gpu="T4:1"))
    no_device = build_with(settings)

    assert any_device["spec"]["nodeSelector"] == {LABEL: "nvidia-tesla-a100"}
    assert {each["key"] for each in any_device["spec"]["tolerations"]} == {LABEL, "nvidia.com/gpu"}
    [term] = any_device["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["operator"] == "DoesNotExist"
    assert own_device["spec"]["nodeSelector"] == {LABEL: "nvidia-tesla-t4"}
    assert not {"nodeSelector", "tolerations", "affinity"} & no_device["spec"].keys()


def test_default_accelerators_class_is_what_a_number_of_gpus_requests() -> None:
    pod = build_with(default_of(TPU), resources=flyte.Resources(gpu=4))

    assert main_container(pod)["resources"]["limits"]["google.com/tpu"] == "4"
    assert pod["spec"]["nodeSelector"] == {"cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice"}


def test_default_accelerator_applies_to_devices_that_a_pod_template_requests() -> None:
    container = V1Container(
        name="primary", resources=V1ResourceRequirements(limits={"nvidia.com/gpu": 1})
    )
    template = flyte.PodTemplate(pod_spec=V1PodSpec(containers=[container]))

    pod = build_with(default_of(A100), pod_template=template)

    assert pod["spec"]["nodeSelector"] == {LABEL: "nvidia-tesla-a100"}
