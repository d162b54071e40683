"""Tests that a run which CreateRun refuses leaves nothing in the bucket, in a directory and in S3."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from connectrpc.code import Code
from flyteidl2.project.project_service_pb2 import Project, ProjectState, UpdateProjectRequest
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    GetActionDataRequest,
    GetRunDetailsRequest,
)

from controlplane.core.queues import Queue
from controlplane.store.resources.queues import save_queue
from controlplane.usecases import data as data_usecase
from shared.blobs.store import BlobStore, open_store
from shared.kit.clock import SystemClock
from tests.integration.api.client import ORG, PROJECT, ApiUnderTest, open_api
from tests.integration.api.requests import (
    action_id,
    create_run,
    refusal,
    run_id,
    task_id,
)
from tests.servers.seaweed import S3ForTests

Prepare = Callable[[ApiUnderTest, CreateRunRequest], Awaitable[None]]


@pytest.fixture(params=["directory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return open_store(f"file://{tmp_path}/blobs")
    server: S3ForTests = request.getfixturevalue("s3_server")
    return open_store(server.new_base(), server.options)


@pytest.fixture
async def api(database_url: str, tmp_path: Path, blobs: BlobStore) -> AsyncIterator[ApiUnderTest]:
    await blobs.write(f"{blobs.base}/first", b"S3 servers for tests create the bucket with it")
    async with open_api(database_url, tmp_path, blobs=blobs) as opened:
        yield opened


def make_inputs(number: int) -> Inputs:
    inputs = Inputs()
    inputs.literals.add(name="x").value.scalar.primitive.integer = number
    return inputs


async def list_blobs(api: ApiUnderTest) -> list[str]:
    listed = await api.blobs.list_below(f"{api.blobs.base}/{ORG}", limit=100)
    return [each.path for each in listed]


async def name_a_missing_project(_: ApiUnderTest, request: CreateRunRequest) -> None:
    request.run_id.project = "missing"


async def name_a_missing_domain(_: ApiUnderTest, request: CreateRunRequest) -> None:
    request.run_id.domain = "missing"


async def archive_the_project(api: ApiUnderTest, _: CreateRunRequest) -> None:
    archived = Project(id=PROJECT, name=PROJECT, state=ProjectState.PROJECT_STATE_ARCHIVED)
    await api.projects.update_project(UpdateProjectRequest(project=archived))


async def name_a_missing_queue(_: ApiUnderTest, request: CreateRunRequest) -> None:
    request.run_spec.queue = "missing"


async def fill_the_queue(api: ApiUnderTest, request: CreateRunRequest) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="narrow", depth=1), SystemClock().now())
    request.run_spec.queue = "narrow"
    first = create_run("first")
    first.run_spec.queue = "narrow"
    await api.runs.create_run(first)


async def take_the_name(api: ApiUnderTest, _: CreateRunRequest) -> None:
    await api.runs.create_run(create_run(inputs=make_inputs(1)))


async def name_a_missing_code_bundle(api: ApiUnderTest, request: CreateRunRequest) -> None:
    uri = f"{api.blobs.base}/{ORG}/uploads/p/development/x/code.tar.gz"
    request.task_spec.task_template.metadata.code_bundle_uri = api.blobs.native(uri)


async def name_a_missing_task(_: ApiUnderTest, request: CreateRunRequest) -> None:
    request.task_id.CopyFrom(task_id("env.missing"))


async def name_a_missing_notification_rule(_: ApiUnderTest, request: CreateRunRequest) -> None:
    request.run_spec.notification_rule_name = "rule"


async def request_a_base_of_another_org(api: ApiUnderTest, request: CreateRunRequest) -> None:
    request.run_spec.run_base_dir = f"{api.blobs.base}/other"


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (name_a_missing_project, Code.NOT_FOUND),
        (name_a_missing_domain, Code.NOT_FOUND),
        (archive_the_project, Code.FAILED_PRECONDITION),
        (name_a_missing_queue, Code.NOT_FOUND),
        (fill_the_queue, Code.RESOURCE_EXHAUSTED),
        (take_the_name, Code.ALREADY_EXISTS),
        (name_a_missing_code_bundle, Code.FAILED_PRECONDITION),
        (name_a_missing_task, Code.NOT_FOUND),
        (name_a_missing_notification_rule, Code.INVALID_ARGUMENT),
        (request_a_base_of_another_org, Code.INVALID_ARGUMENT),
    ],
)
async def test_refused_run_leaves_no_inputs(
    api: ApiUnderTest, prepare: Prepare, code: Code
) -> None:
    request = create_run(inputs=make_inputs(7))
    await prepare(api, request)
    before = await list_blobs(api)

    refused, _ = await refusal(api.runs.create_run(request))

    assert refused is code
    assert await list_blobs(api) == before


async def test_run_with_inputs_that_are_too_large_is_refused_and_not_created(
    api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_usecase, "MAX_PAYLOAD_BYTES", 10)
    refused, _ = await refusal(api.runs.create_run(create_run(inputs=make_inputs(2**40))))
    assert refused is Code.INVALID_ARGUMENT
    assert await list_blobs(api) == []
    refused, _ = await refusal(api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id())))
    assert refused is Code.NOT_FOUND


async def test_repeated_creation_returns_the_run_and_its_inputs(api: ApiUnderTest) -> None:
    request = create_run(inputs=make_inputs(7))
    first, *others = await asyncio.gather(*(api.runs.create_run(request) for _ in range(5)))
    assert all(each.run == first.run for each in others)
    assert len(await list_blobs(api)) == 1
    [root] = await api.claim()
    assert (await api.runs.create_run(request)).run.action.id.run.name == root.key.run.name
    assert not await api.claim()

    data = await api.runs.get_action_data(GetActionDataRequest(action_id=action_id()))
    assert data.inputs == make_inputs(7)
