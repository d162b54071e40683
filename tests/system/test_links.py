"""Signed links are good for what they were signed for, and for nothing else."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import pytest
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    ArtifactType,
    CreateDownloadLinkRequest,
    CreateUploadLocationRequest,
)
from google.protobuf.duration_pb2 import Duration

from tests.running import until
from tests.system.api_client import PROJECT_ID, ApiClient, attempt_id
from tests.system.commands import Flyte

BODY = b"what a laptop sends"


@dataclass(frozen=True, slots=True)
class Upload:
    url: str
    native: str
    headers: Mapping[str, str]

    def put(self, body: bytes = BODY, *, url: str = "") -> httpx.Response:
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        return httpx.put(
            url or self.url, content=body, headers={"Content-MD5": md5, **self.headers}
        )


def get(url: str) -> httpx.Response:
    return httpx.get(url)


async def make_upload(api: ApiClient, *, filename: str, seconds: int = 60) -> Upload:
    answer = await api.data.create_upload_location(
        CreateUploadLocationRequest(
            project=PROJECT_ID.name,
            domain=PROJECT_ID.domain,
            content_md5=hashlib.md5(BODY, usedforsecurity=False).digest(),
            filename=filename,
            expires_in=Duration(seconds=seconds),
            add_content_md5_metadata=True,
        )
    )
    return Upload(answer.signed_url, answer.native_url, dict(answer.headers))


async def report_link(api: ApiClient, *, seconds: int = 60) -> str:
    details = await api.finish("reporting.main", title="A report")
    answer = await api.data.create_download_link(
        CreateDownloadLinkRequest(
            artifact_type=ArtifactType.ARTIFACT_TYPE_REPORT,
            action_attempt_id=attempt_id(details.id),
            expires_in=Duration(seconds=seconds),
        )
    )
    return str(answer.pre_signed_urls.signed_url[0])


async def test_upload_link_accepts_announced_content(api: ApiClient) -> None:
    upload = await make_upload(api, filename="taken")

    assert upload.put().status_code in {200, 201, 204}


async def test_upload_link_rejects_other_content(api: ApiClient) -> None:
    upload = await make_upload(api, filename="other")

    answer = upload.put(b"something else")

    assert answer.status_code == 400
    assert "MD5" in answer.text
    assert upload.put().is_success


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"altered", "another"),
        (r"uploads/", "uploads/../"),
        (r"(expires=)\d+", r"\g<1>9999999999"),
        (r"(signature=..)..", r"\1xx"),
        (r"\?.*", ""),
    ],
    ids=["name", "path", "expiry", "signature", "none of it"],
)
async def test_altered_link_is_rejected(api: ApiClient, old: str, new: str) -> None:
    upload = await make_upload(api, filename="altered")
    altered = re.sub(old, new, upload.url)
    assert altered != upload.url, upload.url

    answer = upload.put(url=altered)

    assert answer.status_code in {401, 403, 404}
    assert answer.text


async def test_upload_link_does_not_allow_reading(api: ApiClient) -> None:
    upload = await make_upload(api, filename="written")
    upload.put()

    assert get(upload.url).status_code == 403


async def test_expired_link_is_rejected(api: ApiClient) -> None:
    url = await report_link(api, seconds=1)

    await until(lambda: get(url).status_code == 403)
    assert "expired" in get(url).text


async def test_report_link_downloads_the_report(api: ApiClient) -> None:
    answer = get(await report_link(api))

    assert answer.status_code == 200
    assert "<h1>A report</h1>" in answer.text


def test_code_bundle_link_downloads_the_code(flyte: Flyte) -> None:
    run = flyte("run", "hello.py", "main").run

    assert "hello.py" in flyte("get", "code", run).text
