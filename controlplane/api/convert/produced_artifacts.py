"""Parses what a task's outputs file declares as artifacts."""

from collections.abc import Mapping

from flyteidl2.artifact.artifact_pb2 import ArtifactSpec
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.task.common_pb2 import Outputs, ProducedArtifact
from google.protobuf.message import DecodeError

from controlplane.api.convert.artifacts import parse_spec
from controlplane.api.convert.keys import render_action
from controlplane.core.artifacts import (
    ArtifactKey,
    ArtifactName,
    NewArtifact,
    ProducedArtifacts,
    SourceAttempt,
    parse_artifact_name,
    parse_artifact_version,
)
from controlplane.core.errors import InvalidError
from shared.model.ids import OrgName

MAX_PRODUCED = 100
"""Artifacts of one attempt."""


def parse_produced(org: OrgName, source: SourceAttempt, outputs: bytes) -> ProducedArtifacts:
    """
    Parse the artifacts that an outputs file declares; what is malformed is a problem.

    A version that has no name of its own is called ``<run>-<action>-<attempt>``.
    """
    try:
        message = Outputs.FromString(outputs)
    except DecodeError:
        return ProducedArtifacts(problems=["its outputs.pb is not a flyteidl2.task.Outputs"])
    literals = {each.name: each.value for each in message.literals}
    artifacts: list[NewArtifact] = []
    problems: list[str] = []
    for declared in message.produced_artifacts[:MAX_PRODUCED]:
        try:
            artifacts.append(_parse(org, source, declared, literals))
        except InvalidError as error:
            problems.append(f"output {declared.output[:64]!r}: {error}")
    more = len(message.produced_artifacts) - MAX_PRODUCED
    if more > 0:
        problems.append(f"{more} outputs more than {MAX_PRODUCED}, the most of one attempt")
    return ProducedArtifacts(artifacts=artifacts, problems=problems)


def _parse(
    org: OrgName,
    source: SourceAttempt,
    declared: ProducedArtifact,
    literals: Mapping[str, Literal],
) -> NewArtifact:
    if declared.output not in literals:
        raise InvalidError("the task has no such output")
    if not declared.HasField("type"):
        raise InvalidError("type: is required")
    run = source.action.run
    version = declared.version or f"{run.name}-{source.action.name}-{source.attempt}"
    key = ArtifactKey(
        ArtifactName(run.project, run.domain, parse_artifact_name(declared.name, "name")),
        parse_artifact_version(version, "version"),
    )
    spec = ArtifactSpec(
        value=literals[declared.output],
        type=declared.type,
        info=declared.info,
        parent_artifacts=declared.parent_artifacts,
    )
    if declared.HasField("partitions"):
        spec.partitions.CopyFrom(declared.partitions)
    if declared.HasField("time_partition"):
        spec.time_partition.CopyFrom(declared.time_partition)
    spec.source.task_action.action.CopyFrom(render_action(org, source.action))
    spec.source.task_action.attempt = source.attempt
    return parse_spec(org, key, spec)
