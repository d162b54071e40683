"""
Artifacts: named, immutable versions of a value, each in a partition of its name.

A name's partition keys are its schema: declared, or those of its first version. A version with
other keys is stored, and shown with the difference: a task that has succeeded cannot be refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from controlplane.core.errors import InvalidError
from controlplane.core.profiles import Profiles
from shared.model.ids import ActionKey, DomainName, ProjectName

LATEST = "latest"
"""Stands for the newest version in requests, so no version can be called that."""

MAX_NAME = 255
MAX_VALUE_BYTES = 256 * 1024
MAX_METADATA = 100
MAX_PARTITION_KEYS = 16
MAX_PARTITION_VALUES = 1000
MAX_NAMES = 10_000
"""Names in one project and domain."""
MAX_VERSIONS = 1_000_000
"""Versions of one name."""

_PART = re.compile(r"[A-Za-z0-9._-]+")


class Granularity(IntEnum):
    """The length of a time partition, with flyteidl2's numbers."""

    UNKNOWN = -1  # read from a row that a later release wrote
    NONE = 0
    MINUTE = 1
    HOUR = 2
    DAY = 3
    MONTH = 4
    WEEK = 5


@dataclass(frozen=True, slots=True, order=True)
class ArtifactName:
    """A name of artifacts, within one org."""

    project: ProjectName
    domain: DomainName
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ArtifactKey:
    """One version of an artifact, within one org."""

    name: ArtifactName
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSchema:
    """The partition keys of a name; ``time_key`` is "" if none of them is a time."""

    time_key: str = ""
    granularity: Granularity = Granularity.NONE
    keys: Sequence[str] = ()

    def equals(self, other: "PartitionSchema") -> bool:
        """Return whether both have the same keys, in any order."""
        return (self.time_key, self.granularity, frozenset(self.keys)) == (
            other.time_key,
            other.granularity,
            frozenset(other.keys),
        )

    def __str__(self) -> str:
        time = [f"{self.time_key} ({self.granularity.name.lower()})"] if self.time_key else []
        return ", ".join([*time, *self.keys]) or "no keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """The partition of one version; ``time`` is the start of its time partition, in UTC."""

    values: Mapping[str, str] = field(default_factory=dict)
    time: datetime | None = None
    time_key: str = ""
    granularity: Granularity = Granularity.NONE

    @property
    def schema(self) -> PartitionSchema:
        return PartitionSchema(
            time_key=self.time_key, granularity=self.granularity, keys=tuple(sorted(self.values))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAttempt:
    """The attempt that made a version; ``attempt`` counts from 0."""

    action: ActionKey
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArtifact:
    """
    Request to store one version.

    ``digest`` is of its value, type and partition: a version with the same digest is the same.
    """

    key: ArtifactKey
    spec: bytes  # flyteidl2.artifact.ArtifactSpec
    digest: bytes
    partition: Partition = field(default_factory=Partition)
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: SourceAttempt | None = None
    external_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducedArtifacts:
    """Artifacts that the outputs of an attempt declare, and why others cannot be registered."""

    artifacts: Sequence[NewArtifact] = ()
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    """A stored version; ``schema`` is the one of its name."""

    key: ArtifactKey
    spec: bytes
    digest: bytes
    created_at: datetime
    created_by: str
    partition: Partition
    schema: PartitionSchema
    profiles: Profiles = field(default_factory=dict)  # has its creator's, if there is one


@dataclass(frozen=True, slots=True)
class ArtifactPage:
    """One page of versions, and the token of the next page ("" at the end)."""

    rows: Sequence[ArtifactRow]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactGroup:
    """One name with its newest version; ``partitions`` are those within the newest time."""

    latest: ArtifactRow
    versions: int
    latest_time: datetime | None
    partitions: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ArtifactGroupPage:
    """One page of names, and the token of the next page ("" at the end)."""

    rows: Sequence[ArtifactGroup]
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSchema:
    """The schema of a name; ``declared``: by DeclareArtifact, not by the first version."""

    schema: PartitionSchema
    declared: bool


def parse_artifact_name(name: str, field: str) -> str:
    """Validate an artifact's name: it becomes a part of URLs."""
    if not _is_part(name):
        raise InvalidError(
            f"{field}: {name[:MAX_NAME]!r} is not a name of an artifact; use letters, digits, dots, "
            f"dashes and underscores, at most {MAX_NAME}"
        )
    return name


def parse_artifact_version(version: str, field: str) -> str:
    """Validate a version: parents, and the values that name it, take these characters only."""
    if not _is_part(version):
        raise InvalidError(
            f"{field}: {version[:MAX_NAME]!r} is not a version; use letters, digits, dots, dashes "
            f"and underscores, at most {MAX_NAME}"
        )
    if version == LATEST:
        raise InvalidError(
            f"{field}: {LATEST!r} stands for the newest version; choose another version"
        )
    return version


def truncate(at: datetime, granularity: Granularity) -> datetime:
    """Return the start of the time partition that ``at`` is in, in UTC; weeks start on Mondays."""
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    if granularity is Granularity.MINUTE:
        return minute
    hour = minute.replace(minute=0)
    if granularity is Granularity.HOUR:
        return hour
    day = hour.replace(hour=0)
    if granularity is Granularity.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if granularity is Granularity.MONTH else day


def usual_time_key(granularity: Granularity) -> str:
    """Return the key of a time partition that names none, as the SDK does."""
    return "hour" if granularity is Granularity.HOUR else "date"


def require_schema(schema: PartitionSchema) -> PartitionSchema:
    """Raise InvalidError if a key occurs twice, or if there are too many."""
    keys = [*([schema.time_key] if schema.time_key else []), *schema.keys]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InvalidError(f"partition key {twice[0]} occurs twice; a key has one value")
    if len(schema.keys) > MAX_PARTITION_KEYS:
        raise InvalidError(
            f"{len(schema.keys)} partition keys; at most {MAX_PARTITION_KEYS} are allowed"
        )
    return schema


def describe_mismatch(expected: PartitionSchema, actual: PartitionSchema) -> str:
    """Return how the keys of a version differ from its name's; "" if they do not."""
    if expected.equals(actual):
        return ""
    return f"this version has {actual}, but the artifact's partition keys are {expected}"


def _is_part(text: str) -> bool:
    return len(text) <= MAX_NAME and _PART.fullmatch(text) is not None and text not in {".", ".."}
