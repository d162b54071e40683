"""Settings of an operator for all pods of a cluster."""

import json

import flyte
import pytest

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods import ChoicesError, PodTemplates, parse_choices
from dataplane.agent.runtimes.protocol import Job
from tests.unit.agent.kubernetes.pods.sdk import PROXY, build, main_container, make_task, serialise

SAID = {
    "defaults": {"memory": "2Gi"},
    "maxima": {"memory": "64Gi"},
    "labels": {"cost": "ml"},
    "annotations": {"mesh": "off"},
    "nodeSelector": {"pool": "tasks"},
    "tolerations": [{"key": "tasks", "operator": "Exists"}],
    "interruptible": {"nodeSelector": {"spot": "true"}},
    "accelerators": {"NVIDIA_GPU": {"deviceLabel": "cloud.google.com/gke-accelerator"}},
}


def build_as(raw: object, job: Job) -> Object:
    return build(job, parse_choices(json.dumps(raw)).apply(PodTemplates(proxy=PROXY)))


def test_task_choices_are_parsed() -> None:
    task = make_task(interruptible=True, resources=flyte.Resources(gpu="T4:1"))
    pod = build_as(SAID, serialise(task))

    limits = main_container(pod)["resources"]["limits"]
    assert limits == {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "1"}
    assert pod["metadata"]["labels"]["cost"] == "ml"
    assert pod["metadata"]["annotations"]["mesh"] == "off"
    assert pod["spec"]["nodeSelector"] == {
        "pool": "tasks",
        "spot": "true",
        "cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
    }
    assert {"key": "tasks", "operator": "Exists"} in pod["spec"]["tolerations"]


@pytest.mark.parametrize("nothing", ["", "{}", '{"interruptible": null}'])
def test_task_choices_are_optional(nothing: str) -> None:
    templates = PodTemplates(proxy=PROXY)

    assert parse_choices(nothing).apply(templates) == templates


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("[]", r"it is \[\], not an object"),
        ("{", "it is not valid JSON"),
        ('{"security": {"hostPath": "no"}}', "security.hostPath is 'no'; write true or false"),
        ('{"security": {"capabilities": "ALL"}}', "security.capabilities is 'ALL', not a list"),
        ('{"security": {"root": true}}', "security.root is not a known field"),
        ('{"default": {}}', "default is not a known field; leave it out"),
        ('{"defaults": {"memory": 2}}', "defaults.memory is 2, not a string"),
        ('{"maxima": {"memory": "lots"}}', "maxima.memory is 'lots'; write an amount"),
        ('{"tolerations": {}}', "tolerations is {}, not a list of objects"),
        ('{"interruptible": {"pool": "x"}}', "interruptible.pool is not a known field"),
        ('{"accelerators": {"GPU": {}}}', "accelerators.GPU is not a device class; .* AMD_GPU"),
        (
            '{"accelerators": {"AMD_GPU": {"label": ""}}}',
            "accelerators.AMD_GPU.label is not a known field",
        ),
    ],
)
def test_unknown_task_choice_is_named(raw: str, message: str) -> None:
    with pytest.raises(ChoicesError, match=message):
        parse_choices(raw)
