"""ArtifactService: versions, names and lists of artifacts, through the API."""

import asyncio
from datetime import UTC, timedelta

import pytest
from connectrpc.code import Code
from flyteidl2.artifact import artifact_service_pb2 as pb
from flyteidl2.artifact.artifact_pb2 import ArtifactName
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.core.artifact_id_pb2 import Granularity
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.project.project_service_pb2 import UpdateProjectRequest

from tests.integration.api.artifacts import (
    DAY,
    declare,
    get,
    publish,
    schema_of,
    versions,
    where,
)
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.flyte_requests import (
    artifact_id,
    create_artifact,
    create_project,
)
from tests.integration.api.requests import create_run, project_id, refusal


async def test_created_artifact_carries_its_id_creator_and_time(api: ApiUnderTest) -> None:
    made = await publish(api, "v1", attrs={"flyte.io/kind": "model"})

    stamp = made.spec.value.artifact_id
    assert (stamp.key.org, stamp.key.project, stamp.key.domain) == (ORG, PROJECT, DOMAIN)
    assert (stamp.key.name, stamp.version) == ("model", "v1")
    assert made.artifact_id.name.org == ORG
    assert made.created_by.user.id.subject == "anonymous"
    assert made.created_at.seconds > 0
    assert await get(api, "v1") == made


async def test_latest_is_the_newest_version_and_the_next_one_when_it_is_deleted(
    api: ApiUnderTest,
) -> None:
    for version in ("v2", "v1", "v3"):
        await publish(api, version)

    assert (await get(api)).artifact_id.version == "v3"
    assert (await get(api, "latest")).artifact_id.version == "v3"
    await api.artifacts.delete_artifact(
        pb.DeleteArtifactRequest(artifact_id=artifact_id(version="v3"))
    )
    assert (await get(api)).artifact_id.version == "v1"
    assert await versions(api) == ["v1", "v2"]
    code, message = await refusal(
        api.artifacts.delete_artifact(
            pb.DeleteArtifactRequest(artifact_id=artifact_id(version="v3"))
        )
    )
    assert code is Code.NOT_FOUND
    assert f"{PROJECT}/{DOMAIN}/model@v3" in message


async def test_name_is_gone_with_its_last_version_unless_it_is_declared(api: ApiUnderTest) -> None:
    await declare(api, "region", name="declared")
    for name in ("model", "declared"):
        await publish(api, "v1", name=name)
        await api.artifacts.delete_artifact(pb.DeleteArtifactRequest(artifact_id=artifact_id(name)))

    assert (await refusal(schema_of(api)))[0] is Code.NOT_FOUND
    assert (await refusal(get(api)))[0] is Code.NOT_FOUND
    assert (await schema_of(api, "declared")).partition_schema.partition_keys == ["region"]
    groups = await api.artifacts.list_artifact_names(
        pb.ListArtifactNamesRequest(project_id=project_id())
    )
    assert not groups.groups


async def test_same_version_again_is_the_stored_one_and_another_value_is_refused(
    api: ApiUnderTest,
) -> None:
    first = await publish(api, "v1")

    assert await publish(api, "v1") == first
    code, message = await refusal(
        api.artifacts.create_artifact(create_artifact(uri="s3://somewhere/else"))
    )
    assert code is Code.ALREADY_EXISTS
    assert "publish this one under a new version" in message
    code, _ = await refusal(publish(api, "v1", region="eu"))
    assert code is Code.ALREADY_EXISTS
    assert await get(api, "v1") == first


async def test_content_addressed_value_is_the_same_wherever_it_was_uploaded(
    api: ApiUnderTest,
) -> None:
    requests = [create_artifact(uri=f"s3://upload/{number}") for number in range(2)]
    for request in requests:
        request.spec.value.hash = "abc"
    first, second = [(await api.artifacts.create_artifact(each)).artifact for each in requests]

    assert first == second
    requests[1].spec.value.hash = "def"
    assert (await refusal(api.artifacts.create_artifact(requests[1])))[0] is Code.ALREADY_EXISTS


async def test_value_of_another_artifact_is_stamped_with_the_new_id(api: ApiUnderTest) -> None:
    first = await publish(api, "v1")
    request = create_artifact("copy")
    request.spec.value.CopyFrom(first.spec.value)

    copy = (await api.artifacts.create_artifact(request)).artifact

    assert copy.spec.value.artifact_id.key.name == "copy"
    assert (await api.artifacts.create_artifact(request)).artifact == copy


async def test_two_writers_of_one_version_store_it_once(api: ApiUnderTest) -> None:
    same = await asyncio.gather(*(publish(api, "v1") for _ in range(8)))
    different = await asyncio.gather(
        *(
            api.artifacts.create_artifact(create_artifact(version="v2", uri=f"s3://u/{number}"))
            for number in range(8)
        ),
        return_exceptions=True,
    )

    assert all(each == same[0] for each in same)
    assert sum(not isinstance(each, BaseException) for each in different) == 1
    assert await versions(api) == ["v2", "v1"]
    group = await only_group(api)
    assert group.versions == 2


async def test_many_writers_of_one_name_get_versions_in_one_order(api: ApiUnderTest) -> None:
    names = [f"v{number}" for number in range(20)]
    await asyncio.gather(*(publish(api, version) for version in names))

    found = await versions(api, page=7)

    assert sorted(found) == sorted(names)
    assert (await get(api)).artifact_id.version == found[0]
    assert (await only_group(api)).versions == 20


async def only_group(api: ApiUnderTest) -> pb.ArtifactGroup:
    answer = await api.artifacts.list_artifact_names(
        pb.ListArtifactNamesRequest(project_id=project_id())
    )
    return next(iter(answer.groups))


async def test_same_name_in_another_project_is_another_artifact(api: ApiUnderTest) -> None:
    await api.projects.create_project(create_project("other"))
    await publish(api, "v1")
    request = create_artifact(uri="s3://other")
    request.artifact_id.name.project = "other"
    await api.artifacts.create_artifact(request)

    elsewhere = ArtifactName(project="other", domain=DOMAIN, name="model")
    found = await api.artifacts.get_artifact(pb.GetArtifactRequest(name=elsewhere))
    assert found.artifact.spec.value.scalar.blob.uri == "s3://other"
    assert await versions(api) == ["v1"]
    assert (await only_group(api)).versions == 1


async def test_names_are_listed_by_their_newest_version_with_their_partitions(
    api: ApiUnderTest,
) -> None:
    await publish(api, "v1", name="events", day=DAY, region="eu")
    await publish(api, "v1", name="plain")
    await publish(api, "v2", name="events", day=DAY + timedelta(days=1), region="eu")
    await publish(api, "v3", name="events", day=DAY + timedelta(days=1), region="us")
    await declare(api, "k", name="only-declared")

    answer = await api.artifacts.list_artifact_names(
        pb.ListArtifactNamesRequest(project_id=project_id(), request=ListRequest(limit=1))
    )
    (events,) = answer.groups
    assert (events.latest.artifact_id.version, events.versions) == ("v3", 3)
    assert events.latest_time_partition.ToDatetime(UTC) == DAY + timedelta(days=1)
    assert [each.value["region"].static_value for each in events.latest_partitions] == ["eu", "us"]
    assert events.partition_schema.time_partition.key == "date"

    answer = await api.artifacts.list_artifact_names(
        pb.ListArtifactNamesRequest(
            project_id=project_id(), request=ListRequest(limit=1, token=answer.token)
        )
    )
    (plain,) = answer.groups
    assert plain.latest.artifact_id.name.name == "plain"
    assert not plain.HasField("latest_time_partition")
    assert not answer.token
    found = await api.artifacts.list_artifact_names(
        pb.ListArtifactNamesRequest(
            project_id=project_id(),
            request=ListRequest(filters=[where("name", "lai", function=Filter.CONTAINS)]),
        )
    )
    assert [each.latest.artifact_id.name.name for each in found.groups] == ["plain"]


async def test_source_of_an_artifact_is_an_attempt_that_exists(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("trains"))
    request = create_artifact()
    source = request.spec.source.task_action
    source.action.run.CopyFrom(create_run("trains").run_id)
    source.action.run.org = ORG
    source.action.name = "a0"

    made = (await api.artifacts.create_artifact(request)).artifact
    await publish(api, "v2")

    assert made.spec.source.task_action.action.run.name == "trains"
    assert await versions(api, where("source_run", "trains"), name=None) == ["v1"]
    request.artifact_id.version = "v3"
    for field, value, words in (
        ("attempt", 2**32 - 1, "numbered from 0 to 0"),
        ("name", "a1", "does not exist"),
        ("run", "unknown", "does not exist"),
        ("project", "other", "another project"),
    ):
        wrong = pb.CreateArtifactRequest.FromString(request.SerializeToString())
        action = wrong.spec.source.task_action
        match field:
            case "attempt":
                action.attempt = int(value)
            case "name":
                action.action.name = str(value)
            case "run":
                action.action.run.name = str(value)
            case _:
                action.action.run.project = str(value)
        code, message = await refusal(api.artifacts.create_artifact(wrong))
        assert code is Code.INVALID_ARGUMENT
        assert words in message


async def test_parents_have_the_childs_name_and_scope_unless_they_name_another(
    api: ApiUnderTest,
) -> None:
    request = create_artifact(version="v2")
    request.spec.parent_artifacts.add(version="v1")
    other = request.spec.parent_artifacts.add(version="raw-7")
    other.key.name, other.key.domain = "events", "staging"

    same, foreign = (await api.artifacts.create_artifact(request)).artifact.spec.parent_artifacts

    assert (same.key.org, same.key.project, same.key.domain) == (ORG, PROJECT, DOMAIN)
    assert (same.key.name, same.version) == ("model", "v1")
    assert (foreign.key.project, foreign.key.domain) == (PROJECT, "staging")
    assert (foreign.key.name, foreign.version) == ("events", "raw-7")


async def test_metadata_keys_are_listed_for_a_project_or_a_name(api: ApiUnderTest) -> None:
    await publish(api, "v1", attrs={"b": "1", "a": "2"})
    await publish(api, "v1", name="other", attrs={"c": "1"})

    async def list_keys(name: str | None) -> list[str]:
        request = pb.ListArtifactMetadataKeysRequest(project_id=project_id(), name=name)
        return list((await api.artifacts.list_artifact_metadata_keys(request)).keys)

    assert await list_keys(None) == ["a", "b", "c"]
    assert await list_keys("model") == ["a", "b"]
    assert await versions(
        api, where("user_metadata.a", "1", "2", function=Filter.VALUE_IN), name=None
    ) == ["v1"]


@pytest.mark.parametrize("name", ["a/b", "a@b", "a b", ".."])
async def test_name_or_version_with_a_separator_is_refused(api: ApiUnderTest, name: str) -> None:
    for request in (create_artifact(name=name), create_artifact(version=name)):
        code, message = await refusal(api.artifacts.create_artifact(request))
        assert code is Code.INVALID_ARGUMENT
        assert "name" in message or "version" in message


async def test_malformed_artifacts_are_refused_by_field(api: ApiUnderTest) -> None:
    empty = create_artifact()
    empty.spec.value.CopyFrom(Literal())
    large = create_artifact()
    large.spec.value.scalar.primitive.string_value = "x" * 300_000
    latest = create_artifact(version="latest")
    bound = create_artifact()
    bound.spec.partitions.value["region"].input_binding.var = "x"
    no_granularity = create_artifact()
    no_granularity.spec.time_partition.value.time_value.seconds = 1
    both = create_artifact()
    both.spec.partitions.value["date"].static_value = "x"
    both.spec.time_partition.value.time_value.seconds = 1
    both.spec.time_partition.granularity = Granularity.DAY
    early = create_artifact()
    early.spec.time_partition.value.time_value.seconds = -(2**60)
    early.spec.time_partition.granularity = Granularity.WEEK
    many = create_artifact()
    many.spec.info.user_metadata.update({str(number): "" for number in range(101)})
    for request, words in (
        (empty, "spec.value: holds no value"),
        (large, "write the value to a file"),
        (latest, "choose another version"),
        (bound, "spec.partitions.region: must have a static value"),
        (no_granularity, "spec.time_partition.granularity: must be one of MINUTE"),
        (both, "partition key date occurs twice"),
        (early, "spec.time_partition: is not a timestamp"),
        (many, "at most 100"),
    ):
        code, message = await refusal(api.artifacts.create_artifact(request))
        assert code is Code.INVALID_ARGUMENT
        assert words in message


async def test_filter_on_an_unknown_field_names_the_known_ones(api: ApiUnderTest) -> None:
    code, message = await refusal(versions(api, where("colour", "red")))
    assert code is Code.INVALID_ARGUMENT
    assert "partition.<key>" in message


async def test_archived_project_takes_no_artifacts_but_shows_them(api: ApiUnderTest) -> None:
    await publish(api, "v1")
    await api.projects.update_project(
        UpdateProjectRequest(
            project={"id": PROJECT, "name": PROJECT, "state": "PROJECT_STATE_ARCHIVED"}
        )
    )

    for call in (publish(api, "v2"), declare(api, "region", name="other")):
        code, message = await refusal(call)
        assert code is Code.FAILED_PRECONDITION
        assert "make it active first" in message
    assert (await get(api)).artifact_id.version == "v1"
