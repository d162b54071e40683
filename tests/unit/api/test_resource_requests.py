"""Requests of an attempt: of containers and of pods, in any form that Kubernetes takes."""

import pytest
from flyteidl2.core.tasks_pb2 import Container, Resources, TaskTemplate
from google.protobuf import json_format

from controlplane.api.convert.resource_requests import parse_requests
from controlplane.core.usage import ResourceRequests

GIB = 2**30


def container(requests: dict[str, str], limits: dict[str, str] | None = None) -> TaskTemplate:
    def entries(amounts: dict[str, str]) -> list[Resources.ResourceEntry]:
        return [
            Resources.ResourceEntry(name=Resources.ResourceName.Value(name), value=value)
            for name, value in amounts.items()
        ]

    resources = Resources(requests=entries(requests), limits=entries(limits or {}))
    return TaskTemplate(container=Container(image="i", resources=resources))


def pod(*containers: object) -> TaskTemplate:
    template = TaskTemplate()
    json_format.ParseDict({"podSpec": {"containers": list(containers)}}, template.k8s_pod)
    return template


@pytest.mark.parametrize(
    ("template", "requested"),
    [
        (TaskTemplate(), ResourceRequests()),
        (
            container({"CPU": "500m", "MEMORY": "2Gi", "GPU": "1", "STORAGE": "9Ti"}),
            ResourceRequests(cpu_millis=500, memory_bytes=2 * GIB, accelerators=1),
        ),
        (
            container({"CPU": "1"}, {"CPU": "4", "MEMORY": "1Gi"}),
            ResourceRequests(cpu_millis=1000, memory_bytes=GIB),
        ),
        (container({"CPU": "many", "MEMORY": ""}), ResourceRequests()),
        (container({"CPU": "-3"}), ResourceRequests()),
        (container({"CPU": "9E", "GPU": "9E"}), ResourceRequests(cpu_millis=10**7, accelerators=10**4)),
        (
            pod(
                {"name": "primary", "resources": {"limits": {"cpu": 2, "nvidia.com/gpu": "4"}}},
                {"name": "sidecar", "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}}},
            ),
            ResourceRequests(cpu_millis=2250, memory_bytes=GIB, accelerators=4),
        ),
        (pod("no container", {"resources": "none"}, {"resources": {"requests": []}}), ResourceRequests()),
    ],
)  # fmt: skip
def test_requests_of_a_task_are_parsed(template: TaskTemplate, requested: ResourceRequests) -> None:
    assert parse_requests(template) == requested
