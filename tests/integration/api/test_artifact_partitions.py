"""ArtifactService: schemas and partitions of artifacts, through the API."""

import asyncio
from datetime import UTC, timedelta

from connectrpc.code import Code
from flyteidl2.common.list_pb2 import Filter

from tests.integration.api.artifacts import (
    DAY,
    declare,
    get,
    partition_values,
    publish,
    schema_of,
    versions,
    where,
)
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import refusal


async def test_version_with_other_keys_is_stored_and_shows_the_difference(
    api: ApiUnderTest,
) -> None:
    await declare(api, "region", time="date")

    fitting = await publish(api, "v1", day=DAY, region="eu")
    other = await publish(api, "v2", region="eu", size="l")

    assert not fitting.HasField("partition_schema_mismatch")
    mismatch = other.partition_schema_mismatch
    assert mismatch.message == (
        "this version has region, size, but the artifact's partition keys are date (day), region"
    )
    assert mismatch.expected == (await schema_of(api)).partition_schema
    assert list(mismatch.actual.partition_keys) == ["region", "size"]
    assert await get(api) == other


async def test_first_version_fixes_the_schema_and_another_declaration_is_refused(
    api: ApiUnderTest,
) -> None:
    await publish(api, "v1", day=DAY, region="eu")

    found = await schema_of(api)
    assert not found.declared
    assert found.partition_schema.time_partition.key == "date"
    assert await declare(api, "region", time="date") == found.partition_schema
    code, message = await refusal(declare(api, "zone", time="date"))
    assert code is Code.FAILED_PRECONDITION
    assert "date (day), region" in message
    assert "date (day), zone" in message


async def test_time_partition_is_stored_truncated_in_utc(api: ApiUnderTest) -> None:
    made = await publish(api, "v1", day=DAY + timedelta(hours=13, minutes=7))

    assert made.spec.time_partition.value.time_value.ToDatetime(UTC) == DAY
    assert await versions(api, where("time_partition", "2026-09-17T00:00:00Z")) == ["v1"]


async def test_partition_filters_page_without_doubles_or_gaps(api: ApiUnderTest) -> None:
    for number in range(60):
        region = ("a", "b", "c")[number % 3]
        await publish(api, f"v{number:02}", day=DAY + timedelta(days=number), region=region)

    found = await versions(
        api,
        where("partition.region", "a", "b", function=Filter.VALUE_IN),
        where("time_partition", "2026-09-20T00:00:00Z", function=Filter.GREATER_THAN_OR_EQUAL),
        where("time_partition", "2026-11-01T00:00:00Z", function=Filter.LESS_THAN_OR_EQUAL),
        page=4,
    )

    assert found == [f"v{number:02}" for number in range(45, 2, -1) if number % 3 != 2]


async def test_latest_per_partition_is_one_row_for_each_partition(api: ApiUnderTest) -> None:
    await publish(api, "v1", region="eu", attrs={"grade": "gold"})
    await publish(api, "v2", region="us")
    await publish(api, "v3", region="eu")

    assert await versions(api, latest_per_partition=True, page=1) == ["v3", "v2"]
    assert await versions(api, where("user_metadata.grade", "gold"), latest_per_partition=True) == [
        "v1"
    ]


async def test_three_hundred_partition_values_are_in_one_answer(api: ApiUnderTest) -> None:
    regions = [f"r{number:03}" for number in range(300)]
    for start in range(0, 300, 20):
        await asyncio.gather(
            *(
                publish(api, region, region=region, zone="z1" if region < "r100" else "z2")
                for region in regions[start : start + 20]
            )
        )

    assert await partition_values(api, "region", limit=1000) == regions
    assert await partition_values(api, "zone") == ["z1", "z2"]
    assert await partition_values(api, "region", where("partition.zone", "z1")) == regions[:100]


async def test_values_of_the_time_key_are_times(api: ApiUnderTest) -> None:
    await publish(api, "v1", day=DAY, region="eu")
    await publish(api, "v2", day=DAY + timedelta(days=1), region="eu")
    await publish(api, "v3", day=DAY, region="us")

    assert await partition_values(api, "date") == ["2026-09-17T00:00:00Z", "2026-09-18T00:00:00Z"]
    code, message = await refusal(partition_values(api, "zone"))
    assert code is Code.INVALID_ARGUMENT
    assert "it has date (day), region" in message
