"""ArtifactService: creates, finds, lists and deletes versions of artifacts."""

from flyteidl2.artifact.artifact_service_pb2 import (
    CreateArtifactRequest,
    CreateArtifactResponse,
    DeclareArtifactRequest,
    DeclareArtifactResponse,
    DeleteArtifactRequest,
    DeleteArtifactResponse,
    GetArtifactRequest,
    GetArtifactResponse,
    GetArtifactSchemaRequest,
    GetArtifactSchemaResponse,
    ListArtifactMetadataKeysRequest,
    ListArtifactMetadataKeysResponse,
    ListArtifactNamesRequest,
    ListArtifactNamesResponse,
    ListArtifactsRequest,
    ListArtifactsResponse,
    ListPartitionValuesRequest,
    ListPartitionValuesResponse,
)

from controlplane.api.convert import artifacts as convert, keys
from controlplane.api.convert.lists import parse_filters, parse_listing
from controlplane.api.convert.strings import parse_text
from controlplane.core.artifacts import ArtifactName, parse_artifact_name
from controlplane.core.callers import Caller
from controlplane.usecases.artifacts import Artifacts


class ArtifactService:
    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def create_artifact(
        self, caller: Caller, request: CreateArtifactRequest
    ) -> CreateArtifactResponse:
        key = convert.parse_key(request.artifact_id)
        stored = await self._artifacts.create(
            caller, convert.parse_spec(caller.org, key, request.spec)
        )
        return CreateArtifactResponse(artifact=convert.render_artifact(caller.org, stored))

    async def get_artifact(
        self, caller: Caller, request: GetArtifactRequest
    ) -> GetArtifactResponse:
        found = await self._artifacts.get(
            caller, convert.parse_name(request.name), parse_text(request.version, "version")
        )
        return GetArtifactResponse(artifact=convert.render_artifact(caller.org, found))

    async def list_artifacts(
        self, caller: Caller, request: ListArtifactsRequest
    ) -> ListArtifactsResponse:
        page = await self._artifacts.list(
            caller,
            *keys.parse_project(request.project_id),
            convert.parse_name_filter(request),
            parse_listing(request.request),
            latest_per_partition=request.latest_per_partition,
        )
        return ListArtifactsResponse(
            artifacts=[convert.render_artifact(caller.org, row) for row in page.rows],
            token=page.token,
        )

    async def list_artifact_names(
        self, caller: Caller, request: ListArtifactNamesRequest
    ) -> ListArtifactNamesResponse:
        page = await self._artifacts.list_names(
            caller, *keys.parse_project(request.project_id), parse_listing(request.request)
        )
        return ListArtifactNamesResponse(
            groups=[convert.render_group(caller.org, row) for row in page.rows], token=page.token
        )

    async def list_artifact_metadata_keys(
        self, caller: Caller, request: ListArtifactMetadataKeysRequest
    ) -> ListArtifactMetadataKeysResponse:
        found = await self._artifacts.list_metadata_keys(
            caller, *keys.parse_project(request.project_id), convert.parse_name_filter(request)
        )
        return ListArtifactMetadataKeysResponse(keys=found)

    async def delete_artifact(
        self, caller: Caller, request: DeleteArtifactRequest
    ) -> DeleteArtifactResponse:
        await self._artifacts.delete(caller, convert.parse_key(request.artifact_id))
        return DeleteArtifactResponse()

    async def declare_artifact(
        self, caller: Caller, request: DeclareArtifactRequest
    ) -> DeclareArtifactResponse:
        schema = await self._artifacts.declare(
            caller,
            convert.parse_name(request.name),
            convert.parse_schema(request.partition_schema),
        )
        return DeclareArtifactResponse(partition_schema=convert.render_schema(schema))

    async def get_artifact_schema(
        self, caller: Caller, request: GetArtifactSchemaRequest
    ) -> GetArtifactSchemaResponse:
        found = await self._artifacts.get_schema(caller, convert.parse_name(request.name))
        return GetArtifactSchemaResponse(
            partition_schema=convert.render_schema(found.schema), declared=found.declared
        )

    async def list_partition_values(
        self, caller: Caller, request: ListPartitionValuesRequest
    ) -> ListPartitionValuesResponse:
        name = ArtifactName(
            *keys.parse_project(request.project_id), parse_artifact_name(request.name, "name")
        )
        found = await self._artifacts.list_partition_values(
            caller,
            name,
            parse_text(request.key, "key"),
            parse_filters(request.request.filters),
            most=convert.parse_values_limit(request.request),
        )
        return ListPartitionValuesResponse(values=found)
