"""Files of attempts, links to them, and the code of tasks, over the platform API."""

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from flyteidl2.task.task_definition_pb2 import TaskSpec

from shared.model.phases import Phase
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, task_spec
from tests.unit.controlplane.core.test_code_bundles import bundle

ACTION = {"project": PROJECT, "domain": DOMAIN, "run": "r1", "action": "a0"}


async def call(api: ApiUnderTest, rpc: str, **request: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=api.url) as http:
        return await http.post(f"/volary.platform.v1.FileService/{rpc}", json=request)


async def test_files_of_an_attempt_are_listed_by_pages_and_downloaded(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    [assignment] = await api.claim()
    await api.report(assignment, Phase.RUNNING, Phase.SUCCEEDED)
    for name in ("outputs.pb", "raw/x/data.parquet", "report.html"):
        await api.blobs.write(f"{assignment.output_prefix}/{name}", name.encode())
    first = (await call(api, "ListFiles", **ACTION, attempt=1, pageSize=2)).json()
    rest = (
        await call(
            api, "ListFiles", **ACTION, attempt=1, pageSize=2, pageToken=first["nextPageToken"]
        )
    ).json()
    files = [*first["files"], *rest["files"]]
    assert [each["path"] for each in files] == ["outputs.pb", "raw/x/data.parquet", "report.html"]
    assert "nextPageToken" not in rest
    link = (await call(api, "CreateFileLink", uri=files[1]["uri"])).json()
    url = urlsplit(link["signedUrl"])
    async with httpx.AsyncClient(base_url=api.url) as http:
        assert (await http.get(f"{url.path}?{url.query}")).text == "raw/x/data.parquet"


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("", 400),
        ("s3://elsewhere/x", 400),
        ("{base}/other/p/development/x", 400),
        ("{base}/{org}/p/development/../../../other/x", 400),
        ("{base}/{org}/{project}/development/none", 404),
    ],
)
async def test_link_to_what_is_not_a_file_of_the_org_is_refused(
    api: ApiUnderTest, uri: str, status: int
) -> None:
    named = uri.format(base=api.blobs.base, org=ORG, project=PROJECT)
    answer = await call(api, "CreateFileLink", uri=named)
    assert answer.status_code == status, answer.text


async def test_files_of_an_attempt_that_is_not_there_are_not_found(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    assert (await call(api, "ListFiles", **ACTION, attempt=9)).status_code == 404
    assert (await call(api, "ListFiles", **ACTION)).status_code == 400
    assert (await call(api, "ListCodeFiles", **ACTION)).status_code == 404


async def test_code_of_an_action_is_listed_and_read(api: ApiUnderTest) -> None:
    uri = f"{api.blobs.base}/{ORG}/uploads/{PROJECT}/{DOMAIN}/x/code.tar.gz"
    await api.blobs.write(uri, bundle({"main.py": b"print()", "data.bin": b"\0"}))
    spec: TaskSpec = task_spec()
    spec.task_template.metadata.code_bundle_uri = api.blobs.native(uri)
    run = create_run()
    run.task_spec.CopyFrom(spec)
    await api.runs.create_run(run)
    listed = (await call(api, "ListCodeFiles", **ACTION)).json()
    assert [(each["path"], each["size"]) for each in listed["files"]] == [
        ("data.bin", "1"),
        ("main.py", "7"),
    ]
    code = (await call(api, "ReadCodeFile", **ACTION, path="main.py")).json()
    assert code["text"] == "print()"
    assert (await call(api, "ReadCodeFile", **ACTION, path="data.bin")).json()["binary"]
    assert (await call(api, "ReadCodeFile", **ACTION, path="../main.py")).status_code == 404
