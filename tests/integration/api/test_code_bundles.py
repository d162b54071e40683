"""A task whose code bundle is gone is refused before it runs, with the remedy."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from connectrpc.code import Code
from flyteidl2.dataproxy.dataproxy_service_pb2 import ArtifactType, CreateDownloadLinkRequest
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf.json_format import ParseDict

from controlplane.core.actions import TaskInfo
from controlplane.core.tasks import NewTask, TaskKey
from controlplane.store.resources.tasks import deploy_task
from shared.kit.clock import SystemClock
from shared.model.ids import DomainName, ProjectName
from tests.factories import make_spec
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
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


def link(**source: object) -> CreateDownloadLinkRequest:
    fields: dict[str, Any] = {"artifact_type": ArtifactType.ARTIFACT_TYPE_CODE_BUNDLE, **source}
    return CreateDownloadLinkRequest(**fields)


async def test_code_bundle_of_a_deployed_task_has_a_link(api: ApiUnderTest) -> None:
    uri = f"{api.blobs.base}/{ORG}/uploads/{PROJECT}/{DOMAIN}/x/code.tar.gz"
    await api.blobs.write(uri, b"the code")
    deployment = deploy()
    deployment.spec.CopyFrom(in_metadata(api.blobs.native(uri)))
    await api.tasks.deploy_task(deployment)

    answer = await api.data.create_download_link(link(task_id=task_id()))

    signed = urlsplit(answer.pre_signed_urls.signed_url[0])  # at the address for the public
    async with httpx.AsyncClient(base_url=api.url) as http:
        found = await http.get(f"{signed.path}?{signed.query}")
    assert (found.status_code, found.content) == (200, b"the code")


async def test_link_to_what_a_task_does_not_have_is_refused(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy())

    for request, code, named in (
        (link(task_id=task_id()), Code.NOT_FOUND, "code bundle of task"),
        (link(task_id=task_id(version="v9")), Code.NOT_FOUND, "env.main@v9"),
        (
            link(task_id=task_id(), artifact_type=ArtifactType.ARTIFACT_TYPE_REPORT),
            Code.INVALID_ARGUMENT,
            "reports are of attempts",
        ),
    ):
        found, message = await refusal(api.data.create_download_link(request))
        assert (found, named in message) == (code, True), message


async def test_code_bundle_of_another_org_has_no_link(api: ApiUnderTest) -> None:
    uri = f"{api.blobs.base}/another/uploads/{PROJECT}/{DOMAIN}/x/code.tar.gz"
    await api.blobs.write(uri, b"secret")
    async with api.database.for_org(ORG) as tx:
        spec = make_spec(in_metadata(api.blobs.native(uri)).SerializeToString())
        key = TaskKey(ProjectName(PROJECT), DomainName(DOMAIN), "env.main", "v1")
        new = NewTask(key=key, spec=spec, info=TaskInfo(name="env.main"))
        await deploy_task(tx, new, by="someone", now=SystemClock().now())

    code, message = await refusal(api.data.create_download_link(link(task_id=task_id())))

    assert code is Code.FAILED_PRECONDITION
    assert "outside" in message
