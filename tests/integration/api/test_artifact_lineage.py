"""Lineage of artifacts: which runs took a version as an input, and what a run took and published."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from connectrpc.code import Code
from flyteidl2.artifact.artifact_service_pb2 import DeleteArtifactRequest
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest

from controlplane.loops.input_artifacts import InputArtifactLoop
from shared.idl.platform.v1 import artifact_pb2 as pb
from shared.kit.clock import SystemClock
from tests.integration.api.artifacts import publish
from tests.integration.api.caching import run_everything
from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.flyte_requests import artifact_id, create_artifact
from tests.integration.api.requests import action_id, create_run, project_id, refusal, task_spec
from tests.integration.api.test_run_purges import make_loop, purge
from tests.integration.api.test_scopes import call

VERSION = {"project": PROJECT, "domain": DOMAIN, "name": "model", "version": "1"}


def inputs(*values: Literal) -> Inputs:
    given = Inputs()
    for number, value in enumerate(values):
        given.literals.add(name=f"x{number}", value=value)
    return given


async def consumers(
    api: ApiUnderTest, artifact: Mapping[str, str] = VERSION, *, page: int = 0
) -> list[str]:
    """Return the names of the runs that took a version, page by page."""
    names: list[str] = []
    token = ""
    while True:
        request = pb.ListConsumersRequest(
            artifact={**VERSION, **artifact}, page_size=page, page_token=token
        )
        answer = await call(api, "platform.ArtifactService/ListConsumers", request)
        names += [each.run for each in answer.consumers]
        token = answer.next_page_token
        if not token:
            return names


async def of_run(api: ApiUnderTest, run: str = "r1") -> pb.GetRunArtifactsResponse:
    request = pb.GetRunArtifactsRequest(project=PROJECT, domain=DOMAIN, run=run)
    found: pb.GetRunArtifactsResponse = await call(
        api, "platform.ArtifactService/GetRunArtifacts", request
    )
    return found


def in_a_list(value: Literal) -> Literal:
    wrapped = Literal()
    wrapped.collection.literals.add().CopyFrom(value)
    return wrapped


def in_a_map(value: Literal) -> Literal:
    wrapped = Literal()
    wrapped.map.literals["k"].CopyFrom(value)
    return wrapped


@pytest.mark.parametrize("wrap", [None, in_a_list, in_a_map])
async def test_run_with_a_version_among_its_inputs_is_its_consumer(
    api: ApiUnderTest, wrap: Callable[[Literal], Literal] | None
) -> None:
    stored = await publish(api, "1")
    value = stored.spec.value if wrap is None else wrap(stored.spec.value)
    await api.runs.create_run(create_run("r1", inputs=inputs(value)))
    await api.runs.create_run(create_run("r2"))

    assert await consumers(api) == ["r1"]
    found = await of_run(api)
    assert [(each.name, each.version) for each in found.consumed] == [("model", "1")]
    assert not (await of_run(api, "r2")).consumed


async def test_run_with_uploaded_inputs_is_a_consumer_and_so_is_each_later_one(
    api: ApiUnderTest,
) -> None:
    stored = await publish(api, "1")
    uploaded = await api.data.upload_inputs(
        UploadInputsRequest(
            project_id=project_id(), task_spec=task_spec(), inputs=inputs(stored.spec.value)
        )
    )
    names = [f"r{number}" for number in range(5)]
    for name in names:
        request = CreateRunRequest(
            run_id=create_run(name).run_id,
            task_spec=task_spec(),
            offloaded_input_data=uploaded.offloaded_input_data,
        )
        await api.runs.create_run(request)
        await api.runs.create_run(request)  # repeated by the SDK

    assert await consumers(api) == names[::-1]
    assert await consumers(api, page=2) == names[::-1]


async def test_run_shows_what_it_took_and_what_its_actions_published(api: ApiUnderTest) -> None:
    stored = await publish(api, "1")
    await api.runs.create_run(create_run("r1", inputs=inputs(stored.spec.value)))
    await run_everything(api, only="roots")
    request = create_artifact("report", "2", "s3://somewhere/2")
    request.spec.source.task_action.action.CopyFrom(action_id())
    await api.artifacts.create_artifact(request)

    found = await of_run(api)
    assert [each.name for each in found.consumed] == ["model"]
    [produced] = found.produced
    assert (produced.artifact.name, produced.artifact.version) == ("report", "2")
    assert (produced.action, found.partial) == ("a0", False)


async def test_lineage_outlives_the_version_but_not_the_run(api: ApiUnderTest) -> None:
    stored = await publish(api, "1")
    await api.runs.create_run(create_run("r1", inputs=inputs(stored.spec.value)))
    await run_everything(api, only="roots")
    await api.artifacts.delete_artifact(
        DeleteArtifactRequest(artifact_id=artifact_id("model", "1"))
    )
    assert await consumers(api) == ["r1"]
    assert [each.version for each in (await of_run(api)).consumed] == ["1"]

    await purge(api)
    await make_loop(api).run_once()
    assert await consumers(api) == []
    assert (await refusal(of_run(api)))[0] is Code.NOT_FOUND


async def test_version_that_does_not_exist_has_no_consumer(api: ApiUnderTest) -> None:
    stored = await publish(api, "1")
    forged = Literal()
    forged.CopyFrom(stored.spec.value)
    forged.artifact_id.version = "2"
    await api.runs.create_run(create_run("r1", inputs=inputs(forged)))
    assert await consumers(api, {"version": "2"}) == []


async def test_what_is_known_of_uploaded_inputs_is_deleted_after_a_time(api: ApiUnderTest) -> None:
    stored = await publish(api, "1")
    await api.runs.create_run(create_run("r1", inputs=inputs(stored.spec.value)))
    clock = SystemClock()
    assert await InputArtifactLoop(api.database, clock, keep=timedelta(days=1)).run_once() == 0
    assert await InputArtifactLoop(api.database, clock, keep=timedelta(0)).run_once() == 1
    assert await consumers(api) == ["r1"]


@pytest.mark.parametrize(
    ("artifact", "message"),
    [
        ({"version": "latest"}, "artifact.version"),
        ({"name": "a/b"}, "artifact.name"),
        ({"project": ""}, "project"),
    ],
)
async def test_bad_request_of_consumers_is_refused_with_its_field(
    api: ApiUnderTest, artifact: dict[str, str], message: str
) -> None:
    code, sentence = await refusal(consumers(api, artifact))
    assert code is Code.INVALID_ARGUMENT
    assert message in sentence
