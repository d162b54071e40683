"""Converts artifacts to flyteidl2's messages and back."""

import hashlib
from collections.abc import Mapping

from flyteidl2.artifact.artifact_pb2 import (
    Artifact,
    ArtifactIdentifier,
    ArtifactName as NameMessage,
    ArtifactPartitionSchema,
    ArtifactSource,
    ArtifactSpec,
    PartitionSchemaMismatch,
    TimePartitionKey,
)
from flyteidl2.artifact.artifact_service_pb2 import (
    ArtifactGroup as GroupMessage,
    ListArtifactMetadataKeysRequest,
    ListArtifactsRequest,
)
from flyteidl2.common.list_pb2 import ListRequest
from flyteidl2.core.artifact_id_pb2 import (
    ArtifactKey as KeyMessage,
    ArtifactVersionId,
    LabelValue,
    Partitions,
    TimePartition,
)
from flyteidl2.core.literals_pb2 import Literal
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.api.convert import keys
from controlplane.api.convert.identities import render_identity
from controlplane.api.convert.strings import MAX_LABEL, parse_text
from controlplane.api.convert.timestamps import parse_timestamp
from controlplane.core import names
from controlplane.core.artifacts import (
    MAX_METADATA,
    MAX_PARTITION_VALUES,
    MAX_VALUE_BYTES,
    ArtifactGroup,
    ArtifactKey,
    ArtifactName,
    ArtifactRow,
    Granularity,
    NewArtifact,
    Partition,
    PartitionSchema,
    SourceAttempt,
    describe_mismatch,
    parse_artifact_name,
    parse_artifact_version,
    require_schema,
    truncate,
    usual_time_key,
)
from controlplane.core.errors import InvalidError
from shared.model.ids import OrgName

_MAX_KEY = 64
_MAX_PARENTS = 32


def parse_name(message: NameMessage) -> ArtifactName:
    return ArtifactName(
        names.parse_project(message.project),
        names.parse_domain(message.domain),
        parse_artifact_name(message.name, "name"),
    )


def parse_key(message: ArtifactIdentifier) -> ArtifactKey:
    return ArtifactKey(
        parse_name(message.name), parse_artifact_version(message.version, "artifact_id.version")
    )


def parse_name_filter(
    message: ListArtifactsRequest | ListArtifactMetadataKeysRequest,
) -> str | None:
    return parse_artifact_name(message.name, "name") if message.name else None


def parse_values_limit(message: ListRequest) -> int:
    """Parse how many values to list; the answer has no token, so this is more than a page."""
    if message.limit > MAX_PARTITION_VALUES:
        raise InvalidError(f"limit: must be at most {MAX_PARTITION_VALUES}, not {message.limit}")
    if message.token:
        raise InvalidError("token: partition values have one page; list them without a token")
    return message.limit or MAX_PARTITION_VALUES


def parse_spec(org: OrgName, key: ArtifactKey, message: ArtifactSpec) -> NewArtifact:
    """
    Parse a version to store; the stored spec differs from the message where it has defaults.

    Its value has the version's id, its time partition is truncated, and its parents have the
    project, domain and name of the version where they name none.
    """
    spec = ArtifactSpec()
    spec.CopyFrom(message)
    if spec.value.WhichOneof("value") is None:
        raise InvalidError("spec.value: holds no value")
    size = spec.value.ByteSize() + spec.type.ByteSize()
    if size > MAX_VALUE_BYTES:
        raise InvalidError(
            f"spec.value: value and type have {size} bytes; at most {MAX_VALUE_BYTES} are stored, "
            "so write the value to a file and publish that"
        )
    partition = _parse_partition(spec)
    digest = _digest(spec, partition)
    spec.value.artifact_id.CopyFrom(render_version_id(org, key))
    for number, parent in enumerate(spec.parent_artifacts):
        _complete_parent(parent, org, key.name, f"spec.parent_artifacts[{number}]")
    if len(spec.parent_artifacts) > _MAX_PARENTS:
        raise InvalidError(f"spec.parent_artifacts: at most {_MAX_PARENTS} are allowed")
    if partition.time is not None:
        spec.time_partition.CopyFrom(_render_time(partition))
    parse_text(spec.info.description, "spec.info.description", most=255)
    return NewArtifact(
        key=key,
        spec=spec.SerializeToString(deterministic=True),
        digest=digest,
        partition=partition,
        metadata=_parse_metadata(spec.info.user_metadata),
        source=_parse_source(spec.source),
        external_ref=parse_text(spec.source.external_ref, "spec.source.external_ref"),
    )


def parse_schema(message: ArtifactPartitionSchema) -> PartitionSchema:
    time_key, granularity = "", Granularity.NONE
    if message.HasField("time_partition"):
        granularity = _parse_granularity(
            message.time_partition.granularity, "partition_schema.time_partition"
        )
        time_key = _parse_partition_key(message.time_partition.key)
    return require_schema(
        PartitionSchema(
            time_key=time_key,
            granularity=granularity,
            keys=tuple(_parse_partition_key(key) for key in message.partition_keys),
        )
    )


def render_version_id(org: OrgName, key: ArtifactKey) -> ArtifactVersionId:
    name = key.name
    return ArtifactVersionId(
        key=KeyMessage(org=org, project=name.project, domain=name.domain, name=name.name),
        version=key.version,
    )


def render_artifact(org: OrgName, row: ArtifactRow) -> Artifact:
    name = row.key.name
    rendered = Artifact(
        artifact_id=ArtifactIdentifier(
            name=NameMessage(org=org, project=name.project, domain=name.domain, name=name.name),
            version=row.key.version,
        ),
        spec=ArtifactSpec.FromString(row.spec),
        created_at=row.created_at,
        created_by=render_identity(row.created_by, row.profiles),
    )
    mismatch = describe_mismatch(row.schema, row.partition.schema)
    if mismatch:
        rendered.partition_schema_mismatch.CopyFrom(
            PartitionSchemaMismatch(
                expected=render_schema(row.schema),
                actual=render_schema(row.partition.schema),
                message=mismatch,
            )
        )
    return rendered


def render_schema(schema: PartitionSchema) -> ArtifactPartitionSchema:
    rendered = ArtifactPartitionSchema(partition_keys=schema.keys)
    if schema.time_key:
        rendered.time_partition.CopyFrom(
            TimePartitionKey(key=schema.time_key, granularity=_number(schema.granularity))
        )
    return rendered


def render_group(org: OrgName, group: ArtifactGroup) -> GroupMessage:
    return GroupMessage(
        latest=render_artifact(org, group.latest),
        versions=group.versions,
        partition_schema=render_schema(group.latest.schema),
        latest_time_partition=group.latest_time,
        latest_partitions=[
            Partitions(value={key: LabelValue(static_value=value) for key, value in each.items()})
            for each in group.partitions
        ],
    )


def _parse_partition(spec: ArtifactSpec) -> Partition:
    values: dict[str, str] = {}
    for key, value in spec.partitions.value.items():
        field = f"spec.partitions.{_parse_partition_key(key)}"
        if value.WhichOneof("value") != "static_value":
            raise InvalidError(f"{field}: must have a static value")
        values[key] = parse_text(value.static_value, field, most=MAX_LABEL)
    partition = Partition(values=values)
    if spec.HasField("time_partition"):
        message = spec.time_partition
        if message.value.WhichOneof("value") != "time_value":
            raise InvalidError("spec.time_partition: must have a time value")
        granularity = _parse_granularity(message.granularity, "spec.time_partition")
        at = parse_timestamp(message.value.time_value, "spec.time_partition")
        partition = Partition(
            values=values,
            time=truncate(at, granularity),
            time_key=_parse_partition_key(message.key or usual_time_key(granularity)),
            granularity=granularity,
        )
    require_schema(partition.schema)
    return partition


def _parse_partition_key(key: str) -> str:
    if not key:
        raise InvalidError("a partition key must not be empty")
    return parse_text(key, "partition key", most=_MAX_KEY)


def _parse_granularity(number: int, field: str) -> Granularity:
    known = {each.value: each for each in Granularity if each.value > 0}
    if number not in known:
        raise InvalidError(
            f"{field}.granularity: must be one of {', '.join(each.name for each in known.values())}"
        )
    return known[number]


def _parse_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    if len(metadata) > MAX_METADATA:
        raise InvalidError(
            f"spec.info.user_metadata: has {len(metadata)} keys; at most {MAX_METADATA} are allowed"
        )
    return {
        parse_text(key, "spec.info.user_metadata", most=MAX_LABEL): parse_text(
            value, f"spec.info.user_metadata.{key[:MAX_LABEL]}"
        )
        for key, value in metadata.items()
    }


def _parse_source(message: ArtifactSource) -> SourceAttempt | None:
    if message.WhichOneof("source") != "task_action":
        return None
    return SourceAttempt(
        action=keys.parse_action(message.task_action.action), attempt=message.task_action.attempt
    )


def _complete_parent(
    parent: ArtifactVersionId, org: OrgName, child: ArtifactName, field: str
) -> None:
    """Give a parent the child's project, domain and name where it has none, and check it."""
    key = parent.key
    key.org = org
    key.project = names.parse_project(key.project or child.project)
    key.domain = names.parse_domain(key.domain or child.domain)
    key.name = parse_artifact_name(key.name or child.name, f"{field}.key.name")
    parse_artifact_version(parent.version, f"{field}.version")


def _digest(spec: ArtifactSpec, partition: Partition) -> bytes:
    """
    Return a digest that equal versions share.

    A value with a content hash is equal to another one with that hash, wherever they are stored:
    each publication uploads the files again.
    """
    value = Literal()
    value.CopyFrom(spec.value)
    value.ClearField("artifact_id")
    content = (
        b"hash " + value.hash.encode()
        if value.hash
        else b"value " + value.SerializeToString(deterministic=True)
    )
    time = "" if partition.time is None else partition.time.isoformat()
    labels = [partition.time_key, partition.granularity.name, time]
    labels += [label for key in sorted(partition.values) for label in (key, partition.values[key])]
    parts = [content, spec.type.SerializeToString(deterministic=True)]
    parts += [label.encode() for label in labels]
    digest = hashlib.sha256()
    for part in parts:  # with their lengths, so that no two lists of parts are the same bytes
        digest.update(len(part).to_bytes(8) + part)
    return digest.digest()


def _render_time(partition: Partition) -> TimePartition:
    at = Timestamp()
    if partition.time is not None:
        at.FromDatetime(partition.time)
    return TimePartition(
        value=LabelValue(time_value=at),
        granularity=_number(partition.granularity),
        key=partition.time_key,
    )


def _number(granularity: Granularity) -> int:
    return max(granularity.value, 0)
