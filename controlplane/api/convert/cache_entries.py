"""Converts entries of the result cache to CacheService's messages and back."""

from datetime import timedelta

from flyteidl2.cacheservice.cacheservice_pb2 import CachedOutput, Metadata, OverwriteOutput
from flyteidl2.cacheservice.v2.cacheservice_pb2 import Identifier
from flyteidl2.core.identifier_pb2 import ResourceType

from controlplane.api.convert.cache_keys import MAX_KEY
from controlplane.api.convert.strings import parse_text, parse_uri
from controlplane.api.convert.timestamps import parse_duration
from controlplane.core import names
from controlplane.core.caching import CacheEntry, CachePlace
from controlplane.core.errors import InvalidError, UnbuiltError
from shared.model.ids import OrgName

_OUTPUTS_FILE = "/outputs.pb"


def parse_place(identifier: Identifier, key: str) -> CachePlace:
    if not key:
        raise InvalidError("base_request.key: must not be empty")
    return CachePlace(
        project=names.parse_project(identifier.project),
        domain=names.parse_domain(identifier.domain),
        key=parse_text(key, "base_request.key", most=MAX_KEY),
    )


def parse_output(output: CachedOutput) -> str:
    """Parse where the outputs lie: the folder of ``outputs.pb``, or that file."""
    if output.WhichOneof("output") == "output_literals":
        raise UnbuiltError(
            "output.output_literals is not served by this release; store the outputs, and name"
            " them in output.output_uri"
        )
    uri = parse_uri(output.output_uri, "output.output_uri").removesuffix(_OUTPUTS_FILE).rstrip("/")
    if not uri:
        raise InvalidError("output.output_uri: must not be empty")
    return uri


def parse_source_name(metadata: Metadata) -> str:
    return parse_text(metadata.source_identifier.name, "metadata.source_identifier.name", most=255)


def parse_overwrite(message: OverwriteOutput) -> tuple[bool, timedelta | None]:
    """Parse whether to replace any entry, or one of more than an age."""
    if message.delete_blob:
        raise UnbuiltError(
            "overwrite.delete_blob is not served by this release; delete the outputs yourself"
        )
    max_age = None
    if message.HasField("max_age"):
        max_age = parse_duration(message.max_age, "overwrite.max_age")
    return message.overwrite, max_age


def render_entry(org: OrgName, entry: CacheEntry) -> CachedOutput:
    source = entry.source.action
    rendered = CachedOutput(output_uri=entry.output_uri)
    metadata = rendered.metadata
    metadata.source_identifier.resource_type = ResourceType.TASK
    metadata.source_identifier.org = org
    metadata.source_identifier.project = source.run.project
    metadata.source_identifier.domain = source.run.domain
    metadata.source_identifier.name = entry.task_name
    metadata.created_at.FromDatetime(entry.created_at)
    metadata.last_updated_at.FromDatetime(entry.created_at)
    if source.run.name:  # an action stored it
        metadata.key_map.values.update(
            run=source.run.name, action=source.name, attempt=str(entry.source.attempt)
        )
    return rendered
