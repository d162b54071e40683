"""The same on a bucket: a real S3 server in place of a directory."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from flyteidl2.dataproxy.dataproxy_service_pb2 import ArtifactType, CreateDownloadLinkRequest

from tests.servers.seaweed import S3ForTests
from tests.system.api_client import ApiClient, action_id, attempt_id
from tests.system.commands import WORKFLOWS, Flyte
from tests.system.stack import Stack
from tests.system.values import KEPT


@dataclass(frozen=True, slots=True)
class OnS3:
    stack: Stack
    flyte: Flyte
    api: ApiClient


@pytest.fixture(scope="module")
def s3(s3_server: S3ForTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnS3]:
    options = s3_server.options
    context = {
        "AWS_ENDPOINT_URL": options.endpoint,
        "AWS_REGION": options.region,
        "AWS_ACCESS_KEY_ID": options.access_key,
        "AWS_SECRET_ACCESS_KEY": options.secret_key.reveal(),
        "AWS_ALLOW_HTTP": "true",
    }
    home = tmp_path_factory.mktemp("s3")
    stack = Stack(home, "--blob-base", s3_server.new_base(), context=context)
    with stack.running():
        yield OnS3(stack, Flyte(stack, home / "home"), ApiClient(stack.url))


async def test_s3_run_succeeds(s3: OnS3) -> None:
    run = s3.flyte("run", "--follow", "hello.py", "main", "--name", "you").run

    assert await s3.api.result(action_id(run)) == ["Hello, you!"]
    assert "Hello, you!" in s3.flyte("get", "io", run).text
    assert "greeting you" in s3.flyte("get", "logs", run).text


async def test_s3_files_pass_between_tasks(s3: OnS3) -> None:
    run = s3.flyte("run", "files.py", "main", "--texts", '["one", "two"]').run

    assert await s3.api.result(action_id(run)) == [["one", "two"]]


async def test_s3_upload_of_local_file(s3: OnS3) -> None:
    run = s3.flyte("run", "files.py", "size", "--file", str(WORKFLOWS / "files.py")).run

    assert await s3.api.result(action_id(run)) == [(WORKFLOWS / "files.py").stat().st_size]


async def test_s3_report_link_leads_to_the_bucket(s3: OnS3) -> None:
    run = s3.flyte("run", "--follow", "reporting.py", "main", "--title", "A report").run

    answer = await s3.api.data.create_download_link(
        CreateDownloadLinkRequest(
            artifact_type=ArtifactType.ARTIFACT_TYPE_REPORT,
            action_attempt_id=attempt_id(action_id(run)),
        )
    )
    [url] = answer.pre_signed_urls.signed_url
    assert not url.startswith(s3.stack.url)
    async with httpx.AsyncClient() as http:
        assert "<h1>A report</h1>" in (await http.get(url)).text


async def test_s3_temporary_files_are_kept(s3: OnS3) -> None:
    run = s3.flyte("run", "keeping.py", "main").run

    assert await s3.api.result(action_id(run)) == [[KEPT] * 4]


async def test_named_file_is_found_by_the_next_attempt(s3: OnS3) -> None:
    run = s3.flyte("run", "keeping.py", "resume").run

    assert await s3.api.result(action_id(run)) == ["of the first attempt"]
