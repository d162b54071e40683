"""An API server with the operators' definitions takes what is built, field by field."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from flyteidl2.plugins.kubeflow import mpi_pb2, tensorflow_pb2

from dataplane.agent.kube.objects import Kind, Name
from dataplane.agent.runtimes.protocol import Job
from tests.kube.client import Json, KubeClient, KubeError
from tests.unit.agent.kubernetes.plugins.jobs import (
    SDK_TASKS,
    job_of,
    load_template,
    make_template,
    plugin_of,
    pod_templates,
    sdk_job,
)
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER

_STRICTLY = "fieldValidation=Strict"  # an unknown field is refused, not dropped


def _mpi() -> Job:
    custom = mpi_pb2.DistributedMPITrainingTask(slots=2)
    custom.worker_replicas.common.replicas = 3
    return job_of(make_template("mpi", custom))


def _tensorflow() -> Job:
    custom = tensorflow_pb2.DistributedTensorflowTrainingTask()
    for role in ("worker", "ps", "chief", "evaluator"):
        getattr(custom, f"{role}_replicas").replicas = 1
    return job_of(make_template("tensorflow", custom))


def _with_master() -> Job:
    template = load_template("pytorch")
    template.custom.Clear()
    template.custom.update({"workers": 3})
    template.task_type_version = 0
    return job_of(template)


JOBS: Mapping[str, Callable[[], Job]] = {
    **{task: partial(sdk_job, task) for task in SDK_TASKS},
    "mpi": _mpi,
    "tensorflow": _tensorflow,
    "pytorch with a master": _with_master,
}


def _build(task: str, namespace: str) -> tuple[Kind, Json]:
    job = JOBS[task]()
    plugin = plugin_of(job)
    resource = plugin.build(job, Name(namespace, "r1-a1-1-0a1b2c3d"), CLUSTER)
    return plugin.kind, json.loads(json.dumps(resource))


def _collection(kind: Kind, namespace: str) -> str:
    return f"{kind.base}/namespaces/{namespace}/{kind.plural}"


@pytest.mark.parametrize("task", JOBS)
async def test_resource_is_accepted_unchanged(api: KubeClient, place: str, task: str) -> None:
    kind, resource = _build(task, place)
    made = await api.create(f"{_collection(kind, place)}?{_STRICTLY}", resource)
    lost = list(_missing(resource["spec"], made["spec"], "spec"))
    assert lost == []
    await api.delete(f"{_collection(kind, place)}/{resource['metadata']['name']}")


@pytest.mark.parametrize("task", JOBS)
async def test_pod_specs_of_the_resource_are_valid(api: KubeClient, place: str, task: str) -> None:
    _, resource = _build(task, place)
    templates = list(pod_templates(resource["spec"]))
    assert templates
    for number, template in enumerate(templates):
        desired = {
            "metadata": {"name": f"template-{number}"},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        }
        path = f"/api/v1/namespaces/{place}/podtemplates?dryRun=All&{_STRICTLY}"
        made = (await api.create(path, desired))["template"]
        assert list(_missing(template["spec"], made["spec"], "spec")) == []


async def test_job_of_a_jobset_is_valid(api: KubeClient, place: str) -> None:
    _, resource = _build("clustered-task", place)
    (replicated,) = resource["spec"]["replicatedJobs"]
    job = {"metadata": {"name": "workers"}, "spec": replicated["template"]["spec"]}
    path = f"/apis/batch/v1/namespaces/{place}/jobs?dryRun=All&{_STRICTLY}"
    made = await api.create(path, job)
    assert made["spec"]["podFailurePolicy"]["rules"][0]["action"] == "FailJob"


async def test_resource_definitions_are_strict(api: KubeClient, place: str) -> None:
    """Premise of the tests above: the API server refuses a field that does not exist."""
    for task in JOBS:
        kind, resource = _build(task, place)
        resource["spec"]["noSuchField"] = 1
        with pytest.raises(KubeError, match="noSuchField"):
            await api.create(f"{_collection(kind, place)}?{_STRICTLY}", resource)


def _missing(output: Any, kept: Any, path: str) -> Iterator[str]:
    """Name what was said and was not kept; defaults may have come besides."""
    if isinstance(output, dict) and isinstance(kept, dict):
        for name, value in output.items():
            if name in kept:
                yield from _missing(value, kept[name], f"{path}.{name}")
            elif value not in ({}, [], "", None):
                yield f"{path}.{name}"
    elif isinstance(output, list) and isinstance(kept, list) and len(output) == len(kept):
        for number, (one, other) in enumerate(zip(output, kept, strict=True)):
            yield from _missing(one, other, f"{path}[{number}]")
    elif output != kept:
        yield f"{path}: {output!r} became {kept!r}"
