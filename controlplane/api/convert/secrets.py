"""Converts secrets to flyteidl2's messages and back; a value is only ever converted inwards."""

from collections.abc import Sequence

from flyteidl2.secret.definition_pb2 import (
    ClusterSecretStatus,
    OverallStatus as OverallStatusMessage,
    Secret,
    SecretIdentifier,
    SecretMetadata,
    SecretPresenceStatus,
    SecretSpec,
    SecretStatus as SecretStatusMessage,
)
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.core.errors import InvalidError
from controlplane.core.lists import DEFAULT_LIMIT, MAX_LIMIT
from controlplane.core.secrets import OverallStatus, SecretStatus, SecretType, parse_secret_name
from shared.kit.secrets import SecretBytes
from shared.model.ids import OrgName
from shared.model.secrets import SecretName


def parse_secret_id(message: SecretIdentifier, org: OrgName) -> SecretName:
    return parse_secret_name(org, project=message.project, domain=message.domain, name=message.name)


def parse_secret_spec(message: SecretSpec) -> tuple[SecretType, SecretBytes]:
    match message.WhichOneof("value"):
        case "string_value":
            value = message.string_value.encode()
        case "binary_value":
            value = message.binary_value
        case _:
            value = b""  # which is refused as empty
    try:
        kind = SecretType(message.type)
    except ValueError as error:
        raise InvalidError(f"secret_spec.type: {message.type} is not known") from error
    if kind is SecretType.UNKNOWN:
        raise InvalidError(f"secret_spec.type: {message.type} is not known")
    return kind, SecretBytes(value)


def list_named_secrets(body: bytes) -> frozenset[str]:
    """Return the keys of the secrets that a serialised TaskSpec names, for pods and connectors."""
    try:
        template = TaskSpec.FromString(body).task_template
    except DecodeError:
        return frozenset()  # a trace or a condition: it has no attempts that read secrets
    of_connector = template.custom.fields.get("secrets")
    values = () if of_connector is None else of_connector.struct_value.fields.values()
    return frozenset(
        {
            *(secret.key for secret in template.security_context.secrets),
            *(value.string_value for value in values if value.string_value),
        }
    )


def parse_secret_limit(limit: int) -> int:
    """Return the page size; more than the most is cut to it, as clients of this API expect."""
    if limit < 0:
        raise InvalidError(f"limit: must not be negative, is {limit}")
    return min(limit, MAX_LIMIT) or DEFAULT_LIMIT


def render_secrets(statuses: Sequence[SecretStatus]) -> "list[Secret]":
    return [render_secret(status) for status in statuses]


def render_secret(status: SecretStatus) -> Secret:
    row, name = status.row, status.row.name
    created_time = Timestamp()
    created_time.FromDatetime(row.created_at)
    return Secret(
        id=SecretIdentifier(
            name=name.name, organization=name.org, domain=name.domain, project=name.project
        ),
        secret_metadata=SecretMetadata(
            created_time=created_time,
            secret_status=SecretStatusMessage(
                overall_status=_OVERALL[status.overall],
                cluster_status=[
                    _render_presence(cluster, present=present)
                    for cluster, present in status.clusters
                ],
            ),
            # The SDK cannot show a number that it does not know.
            type=max(row.type, SecretType.GENERIC).value,
        ),
    )


_OVERALL = {
    OverallStatus.PARTIALLY_PRESENT: OverallStatusMessage.PARTIALLY_PRESENT,
    OverallStatus.FULLY_PRESENT: OverallStatusMessage.FULLY_PRESENT,
    OverallStatus.UNKNOWN: OverallStatusMessage.UNKNOWN_STATUS,
}


def _render_presence(cluster: str, *, present: bool) -> ClusterSecretStatus:
    status = SecretPresenceStatus.PRESENT if present else SecretPresenceStatus.MISSING
    message = ClusterSecretStatus(presence_status=status)
    message.cluster.name = cluster
    return message
