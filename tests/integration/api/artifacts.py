"""Artifacts for the tests, published and listed through the API."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flyteidl2.artifact import artifact_service_pb2 as pb
from flyteidl2.artifact.artifact_pb2 import Artifact
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.core.artifact_id_pb2 import Granularity

from tests.integration.api.client import ApiUnderTest
from tests.integration.api.flyte_requests import (
    artifact_name,
    create_artifact,
)
from tests.integration.api.requests import project_id

DAY = datetime(2026, 9, 17, tzinfo=UTC)


async def publish(
    api: ApiUnderTest,
    version: str,
    *,
    name: str = "model",
    day: datetime | None = None,
    attrs: dict[str, str] | None = None,
    **partitions: str,
) -> Artifact:
    request = create_artifact(name, version, f"s3://somewhere/{version}")
    for key, value in partitions.items():
        request.spec.partitions.value[key].static_value = value
    if day is not None:
        request.spec.time_partition.key = "date"
        request.spec.time_partition.granularity = Granularity.DAY
        request.spec.time_partition.value.time_value.FromDatetime(day)
    request.spec.info.user_metadata.update(attrs or {})
    return (await api.artifacts.create_artifact(request)).artifact


async def get(api: ApiUnderTest, version: str = "", *, name: str = "model") -> Artifact:
    request = pb.GetArtifactRequest(name=artifact_name(name), version=version)
    return (await api.artifacts.get_artifact(request)).artifact


def where(field: str, *values: str, function: Any = Filter.EQUAL) -> Filter:
    return Filter(function=function, field=field, values=values)


async def versions(
    api: ApiUnderTest, *filters: Filter, name: str | None = "model", page: int = 100, **more: Any
) -> Sequence[str]:
    """List all pages."""
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListArtifactsRequest(
            request=ListRequest(limit=page, token=token, filters=filters),
            project_id=project_id(),
            name=name,
            **more,
        )
        answer = await api.artifacts.list_artifacts(request)
        found += [each.artifact_id.version for each in answer.artifacts]
        token = answer.token
        if not token:
            return found


async def declare(api: ApiUnderTest, *keys: str, name: str = "model", time: str = "") -> Any:
    request = pb.DeclareArtifactRequest(
        name=artifact_name(name), partition_schema={"partition_keys": keys}
    )
    if time:
        request.partition_schema.time_partition.key = time
        request.partition_schema.time_partition.granularity = Granularity.DAY
    return (await api.artifacts.declare_artifact(request)).partition_schema


async def schema_of(api: ApiUnderTest, name: str = "model") -> pb.GetArtifactSchemaResponse:
    return await api.artifacts.get_artifact_schema(
        pb.GetArtifactSchemaRequest(name=artifact_name(name))
    )


async def partition_values(api: ApiUnderTest, key: str, *filters: Filter, limit: int = 0) -> Any:
    answer = await api.artifacts.list_partition_values(
        pb.ListPartitionValuesRequest(
            request=ListRequest(limit=limit, filters=filters),
            project_id=project_id(),
            name="model",
            key=key,
        )
    )
    return list(answer.values)
