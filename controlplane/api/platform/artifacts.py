"""ArtifactService: which runs took a version of an artifact, and what a run took and published."""

from controlplane.api.platform.conventions import ListCall, parse_id, parse_run_key, render_time
from controlplane.core import names
from controlplane.core.artifacts import (
    ArtifactKey,
    ArtifactName,
    parse_artifact_name,
    parse_artifact_version,
)
from controlplane.core.callers import Caller
from controlplane.usecases.artifact_lineage import ArtifactLineage
from shared.idl.platform.v1 import artifact_pb2 as pb


class ArtifactService:
    def __init__(self, lineage: ArtifactLineage) -> None:
        self._lineage = lineage

    async def list_consumers(
        self, caller: Caller, request: pb.ListConsumersRequest
    ) -> pb.ListConsumersResponse:
        call = ListCall(caller, request)
        token = call.listing.token
        found, after = await self._lineage.list_consumers(
            caller,
            _parse_key(request.artifact),
            limit=call.listing.limit,
            before=parse_id(token, "page_token") if token else None,
        )
        return pb.ListConsumersResponse(
            consumers=[
                pb.ArtifactConsumer(
                    project=each.run.project,
                    domain=each.run.domain,
                    run=each.run.name,
                    task=each.task,
                    at=render_time(each.at),
                )
                for each in found
            ],
            next_page_token=call.next_token("" if after is None else str(after)),
        )

    async def get_run_artifacts(
        self, caller: Caller, request: pb.GetRunArtifactsRequest
    ) -> pb.GetRunArtifactsResponse:
        found = await self._lineage.of_run(caller, parse_run_key(request))
        return pb.GetRunArtifactsResponse(
            consumed=[_render_key(key) for key in found.consumed],
            produced=[
                pb.ProducedArtifact(artifact=_render_key(key), action=action)
                for key, action in found.produced
            ],
            partial=found.partial,
        )


def _parse_key(message: pb.ArtifactVersion) -> ArtifactKey:
    return ArtifactKey(
        ArtifactName(
            names.parse_project(message.project),
            names.parse_domain(message.domain),
            parse_artifact_name(message.name, "artifact.name"),
        ),
        parse_artifact_version(message.version, "artifact.version"),
    )


def _render_key(key: ArtifactKey) -> pb.ArtifactVersion:
    name = key.name
    return pb.ArtifactVersion(
        project=name.project, domain=name.domain, name=name.name, version=key.version
    )
