"""Unimplemented features are rejected with a message, not half-executed or left waiting."""

from pathlib import Path

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from google.protobuf.json_format import MessageToDict

from tests.system.api_client import ApiClient
from tests.system.commands import Flyte
from tests.system.enqueues import sleep_spec

UNBUILT = Path(__file__).parent / "unbuilt"


def test_unimplemented_service_answers_with_a_message(flyte: Flyte) -> None:
    output = flyte("get", "app", expect=1)

    assert "not served by this release of Volary" in output.text


@pytest.mark.parametrize(
    ("task_type", "needed"),
    [("raw-container", "containers"), ("spark", "Spark"), ("of-my-own", "of-my-own")],
)
async def test_task_of_unsupported_type_fails_at_once(
    api: ApiClient, task_type: str, needed: str
) -> None:
    spec = sleep_spec()
    spec.task_template.type = task_type

    details = await api.finish(spec)

    assert details.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert details.status.attempts == 1
    assert needed in details.error_info.message


@pytest.mark.parametrize(("task_type", "needed"), [("dask", "Dask"), ("ray", "KubeRay")])
async def test_clustered_task_is_rejected_though_the_sdk_starts_it(
    api: ApiClient, task_type: str, needed: str
) -> None:
    spec = await api.spec("hello.main")
    spec.task_template.type = task_type

    details = await api.finish(spec)

    assert details.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert details.status.attempts == 1
    assert needed in details.error_info.message


async def test_ignored_features_are_logged(api: ApiClient) -> None:
    spec = await api.spec("hello.main")
    spec.task_template.extended_resources.gpu_accelerator.device = "nvidia-tesla-t4"

    details = await api.finish(spec)

    log = await api.log(details.id)
    assert "nvidia-tesla-t4 is ignored" in log


async def test_pod_template_primary_container_runs(api: ApiClient) -> None:
    spec = await api.spec("hello.main")
    template = spec.task_template
    primary = {"name": "primary", "args": list(template.container.args)}
    pod = {"containers": [{"name": "sidecar", "args": ["sleep"]}, primary]}
    template.ClearField("container")
    template.k8s_pod.pod_spec.update(pod)
    assert MessageToDict(template.k8s_pod.pod_spec) == pod

    assert await api.result(await api.start(spec, name="you")) == ["Hello, you!"]
