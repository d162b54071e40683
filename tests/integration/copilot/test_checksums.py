"""We test that a part that arrives otherwise than it was sent is noticed, by either checksum."""

import os

import pytest

from tests.integration.copilot.buckets import S3Bucket
from tests.integration.copilot.damaging import damaging
from tests.integration.copilot.literals import FILE_TYPE
from tests.integration.copilot.pods import Pod

_PART_BYTES = 5 * 1024 * 1024
_LARGE = os.urandom(3 * _PART_BYTES)


@pytest.fixture
def pod(s3_pod: Pod) -> Pod:
    s3_pod.outputs_wanted = {"large": FILE_TYPE}
    s3_pod.leave("large", _LARGE)
    return s3_pod


async def test_the_store_keeps_the_checksums_of_parts(pod: Pod) -> None:
    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    assert await pod.get("a0/1/raw/large") == _LARGE
    assert (await _checksum(pod)).endswith("-3"), "of three parts' CRC-32s"


async def test_a_signer_that_knows_no_checksums_is_served_by_md5(pod: Pod) -> None:
    pod.signer.checksums = False

    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    assert await pod.get("a0/1/raw/large") == _LARGE
    assert await _checksum(pod) == ""


@pytest.mark.parametrize("checksums", [True, False])
async def test_a_part_altered_on_its_way_is_sent_again(pod: Pod, checksums: bool) -> None:  # noqa: FBT001
    pod.signer.checksums = checksums
    async with damaging(2, size=_PART_BYTES) as proxy:
        pod.environment = {"http_proxy": proxy.address}
        ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    assert proxy.left == 0
    assert await pod.get("a0/1/raw/large") == _LARGE


@pytest.mark.parametrize("checksums", [True, False])
async def test_a_line_that_always_alters_is_given_up(pod: Pod, checksums: bool) -> None:  # noqa: FBT001
    pod.signer.checksums = checksums
    async with damaging(1000, size=_PART_BYTES) as proxy:
        pod.environment = {"http_proxy": proxy.address}
        ended = await pod.sidecar()

    assert ended.code == 1
    assert "cannot upload" in ended.output
    assert "400" in ended.output
    assert await pod.get("a0/1/raw/large") is None
    assert await pod.get("a0/1/outputs.pb") is None


async def _checksum(pod: Pod) -> str:
    bucket = pod.signer.bucket
    assert isinstance(bucket, S3Bucket)
    return await bucket.checksum("a0/1/raw/large")
