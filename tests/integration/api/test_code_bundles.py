"""A task whose code bundle is gone is refused before it runs, with the remedy."""

from collections.abc import Callable

import pytest
from connectrpc.code import Code
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf.json_format import ParseDict

from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.requests import create_run, deploy, refusal, task_id, task_spec


def in_arguments(option: str) -> Callable[[str], TaskSpec]:
    def make(address: str) -> TaskSpec:
        spec = task_spec()
        spec.task_template.container.args.extend([option, address, "--dest", "."])
        return spec

    return make


def in_metadata(address: str) -> TaskSpec:
    spec = task_spec()
    spec.task_template.metadata.code_bundle_uri = address
    return spec


def in_pod_template(address: str) -> TaskSpec:
    spec = task_spec()
    args = [*spec.task_template.container.args, "--tgz", address]
    spec.task_template.ClearField("container")
    pod = {"containers": [{"name": "sidecar"}, {"name": "primary", "args": args}]}
    ParseDict(pod, spec.task_template.k8s_pod.pod_spec)
    return spec


each_place = pytest.mark.parametrize(
    "make",
    [in_arguments("--tgz"), in_arguments("--pkl"), in_metadata, in_pod_template],
    ids=["tgz", "pkl", "metadata", "pod template"],
)


@each_place
async def test_code_bundle_that_is_gone_is_refused_with_its_remedy(
    api: ApiUnderTest, make: Callable[[str], TaskSpec]
) -> None:
    spec = make(api.blobs.native(f"{api.blobs.base}/{ORG}/uploads/p/development/x/code.tar.gz"))
    deployment = deploy()
    deployment.spec.CopyFrom(spec)

    for call in (
        api.runs.create_run(create_run(task_spec=spec)),
        api.tasks.deploy_task(deployment),
    ):
        code, message = await refusal(call)
        assert code is Code.FAILED_PRECONDITION
        assert "code.tar.gz does not exist" in message
        assert "flyte delete local-cache" in message
    assert not await api.blobs.list_below(f"{api.blobs.base}/{ORG}", limit=1)


@each_place
async def test_code_bundle_that_is_there_is_accepted(
    api: ApiUnderTest, make: Callable[[str], TaskSpec]
) -> None:
    uri = f"{api.blobs.base}/{ORG}/uploads/p/development/x/code.tar.gz"
    await api.blobs.write(uri, b"code")

    await api.runs.create_run(create_run(task_spec=make(api.blobs.native(uri))))


async def test_code_bundle_of_another_data_directory_is_refused(api: ApiUnderTest) -> None:
    spec = in_arguments("--tgz")("/elsewhere/blobs/local/uploads/code.tar.gz")

    code, message = await refusal(api.runs.create_run(create_run(task_spec=spec)))

    assert code is Code.FAILED_PRECONDITION
    assert "is outside" in message
    assert "flyte delete local-cache" in message


async def test_run_of_a_deployed_task_whose_code_bundle_has_gone_is_refused(
    api: ApiUnderTest,
) -> None:
    uri = f"{api.blobs.base}/{ORG}/uploads/p/development/x/code.tar.gz"
    await api.blobs.write(uri, b"code")
    deployment = deploy()
    deployment.spec.CopyFrom(in_arguments("--tgz")(api.blobs.native(uri)))
    await api.tasks.deploy_task(deployment)
    await api.blobs.delete(uri)
    request = create_run()
    request.task_id.CopyFrom(task_id())

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.FAILED_PRECONDITION
    assert "deploy it again" in message
