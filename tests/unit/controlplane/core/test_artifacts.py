"""Names, versions, time partitions and partition keys of artifacts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from controlplane.core.artifacts import (
    ArtifactKey,
    ArtifactName,
    Granularity,
    Partition,
    PartitionSchema,
    describe_mismatch,
    parse_artifact_name,
    parse_artifact_version,
    require_schema,
    truncate,
    usual_time_key,
)
from controlplane.core.errors import InvalidError
from shared.model.ids import DomainName, ProjectName

AT = datetime(2026, 9, 17, 23, 45, 30, 5, tzinfo=timezone(timedelta(hours=-2)))  # a Thursday


@pytest.mark.parametrize("name", ["model", "a.b_c-D9", "x" * 255])
def test_artifact_name_takes_letters_digits_and_marks(name: str) -> None:
    assert parse_artifact_name(name, "name") == name
    assert parse_artifact_version(name, "version") == name


@pytest.mark.parametrize("name", ["", "a/b", "a@b", "a b", "é", "..", ".", "x" * 256, "a\0", "a\n"])
def test_artifact_name_with_other_characters_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(InvalidError, match=r"^name: "):
        parse_artifact_name(name, "name")
    with pytest.raises(InvalidError, match=r"^version: "):
        parse_artifact_version(name, "version")


def test_latest_is_a_name_but_no_version() -> None:
    assert parse_artifact_name("latest", "name") == "latest"
    with pytest.raises(InvalidError, match="choose another version"):
        parse_artifact_version("latest", "version")


@pytest.mark.parametrize(
    ("granularity", "start"),
    [
        (Granularity.MINUTE, datetime(2026, 9, 18, 1, 45, tzinfo=UTC)),
        (Granularity.HOUR, datetime(2026, 9, 18, 1, tzinfo=UTC)),
        (Granularity.DAY, datetime(2026, 9, 18, tzinfo=UTC)),
        (Granularity.WEEK, datetime(2026, 9, 14, tzinfo=UTC)),
        (Granularity.MONTH, datetime(2026, 9, 1, tzinfo=UTC)),
    ],
)
def test_time_partition_begins_in_utc_at_its_granularity(
    granularity: Granularity, start: datetime
) -> None:
    assert truncate(AT, granularity) == start
    assert truncate(start, granularity) == start


def test_time_key_without_a_name_is_hour_or_date() -> None:
    assert usual_time_key(Granularity.HOUR) == "hour"
    assert usual_time_key(Granularity.WEEK) == "date"


def test_schema_refuses_a_key_twice_and_too_many() -> None:
    daily = PartitionSchema(time_key="date", granularity=Granularity.DAY, keys=("region",))
    assert require_schema(daily) is daily
    with pytest.raises(InvalidError, match="partition key date occurs twice"):
        require_schema(PartitionSchema(time_key="date", keys=("date",)))
    with pytest.raises(InvalidError, match="17 partition keys; at most 16"):
        require_schema(PartitionSchema(keys=[str(number) for number in range(17)]))


def test_mismatch_names_both_schemas_and_ignores_the_order_of_keys() -> None:
    expected = PartitionSchema(time_key="date", granularity=Granularity.DAY, keys=("b", "a"))
    same = Partition(
        values={"a": "1", "b": "2"},
        time=truncate(AT, Granularity.DAY),
        time_key="date",
        granularity=Granularity.DAY,
    )

    assert describe_mismatch(expected, same.schema) == ""
    assert describe_mismatch(expected, Partition().schema) == (
        "this version has no keys, but the artifact's partition keys are date (day), b, a"
    )


def test_key_is_written_as_the_sdk_writes_it() -> None:
    key = ArtifactKey(ArtifactName(ProjectName("p"), DomainName("d"), "n"), "v")
    assert str(key) == "p/d/n@v"
