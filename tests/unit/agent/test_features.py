"""Tests of the table of task features that each runtime ignores and reports as ignored."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flyteidl2.core.security_pb2 import OAuth2TokenRequest
from flyteidl2.core.tasks_pb2 import Resources, TaskTemplate

from dataplane.agent.runtimes.features import NEEDED_BY_TYPE, RuntimeKind, list_ignored
from dataplane.agent.runtimes.runtime_selection import is_python_task
from tests.unit.agent.assignments import make_job

PROCESS, PODS, CONNECTORS = RuntimeKind

Change = Callable[[TaskTemplate], object]

ASKED: dict[str, tuple[Change, str, set[RuntimeKind]]] = {
    "pod template by name": (
        lambda template: setattr(template.metadata, "pod_template_name", "gpu"),
        "pod template gpu",
        {PROCESS, CONNECTORS},
    ),
    "pod template": (
        lambda template: template.k8s_pod.SetInParent(),
        "pod template",
        {PROCESS, CONNECTORS},
    ),
    "accelerator": (
        lambda template: setattr(
            template.extended_resources.gpu_accelerator, "device", "nvidia-tesla-t4"
        ),
        "nvidia-tesla-t4",
        {PROCESS, CONNECTORS},
    ),
    "cpu and gpu": (
        lambda template: template.container.resources.requests.extend(
            [
                Resources.ResourceEntry(name=Resources.GPU, value="1"),
                Resources.ResourceEntry(name=Resources.CPU, value="2"),
                Resources.ResourceEntry(name=Resources.MEMORY, value="1Gi"),
            ]
        ),
        "resource request for cpu, gpu",
        {PROCESS, CONNECTORS},
    ),
    "shared memory": (
        lambda template: setattr(template.extended_resources.shared_memory, "size_limit", "1Gi"),
        "shared memory",
        {PROCESS, CONNECTORS},
    ),
    "service account": (
        lambda template: setattr(
            template.security_context.run_as, "k8s_service_account", "trainer"
        ),
        "service account trainer",
        {PROCESS, CONNECTORS},
    ),
    "tokens": (
        lambda template: template.security_context.tokens.append(OAuth2TokenRequest(name="x")),
        "OAuth2",
        {PROCESS, PODS, CONNECTORS},
    ),
    "reuse": (
        lambda template: template.reuse_policy.SetInParent(),
        "reuse policy",
        {PROCESS, PODS, CONNECTORS},
    ),
}


@pytest.mark.parametrize(("change", "says", "ignored_by"), ASKED.values(), ids=ASKED)
def test_ignored_feature_is_listed_by_runtimes_that_ignore_it(
    change: Change, says: str, ignored_by: set[RuntimeKind]
) -> None:
    template = TaskTemplate()
    change(template)
    job = make_job(template=template)

    ignored = {kind: list_ignored(job, kind) for kind in RuntimeKind}

    assert {kind for kind, user_errors in ignored.items() if user_errors} == ignored_by
    for kind in ignored_by:
        [sentence] = ignored[kind]
        assert says in sentence
        assert "is ignored: " in sentence


def test_image_is_ignored_by_process_runtime_only() -> None:
    job = make_job()
    assert job.task.container is not None
    container = replace(job.task.container, image="mine:1")
    job = replace(job, task=replace(job.task, container=container))

    [image] = list_ignored(job, PROCESS)

    assert image == (
        "image mine:1 is ignored: this cluster runs tasks as local processes in its own environment"
    )
    assert not list_ignored(job, PODS)
    assert not list_ignored(job, CONNECTORS)


def test_run_annotations_are_ignored_without_pod() -> None:
    job = make_job()
    job.run.spec.annotations.values["owner"] = "me"

    ignored = {kind: list_ignored(job, kind) for kind in RuntimeKind}

    assert {kind for kind, user_errors in ignored.items() if user_errors} == {PROCESS, CONNECTORS}
    assert "owner" in ignored[PROCESS][0]


@pytest.mark.parametrize("kind", RuntimeKind)
def test_task_without_features_lists_no_ignored_ones(kind: RuntimeKind) -> None:
    assert not list_ignored(make_job(), kind)


@pytest.mark.parametrize("task_type", NEEDED_BY_TYPE)
def test_multi_process_task_is_not_run_by_process_runtime(task_type: str) -> None:
    task = make_job(args=("a0", "--inputs", "x")).task

    assert is_python_task(replace(task, type="python"))
    assert not is_python_task(replace(task, type=task_type))
