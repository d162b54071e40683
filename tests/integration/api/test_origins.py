"""A web page cannot reach a control plane through the browser of the person who runs it."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import pytest
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest

from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, refusal, run_id

CREATE_RUN = "/flyteidl2.workflow.RunService/CreateRun"
BODY = b"print()"
FOREIGN: Mapping[str, tuple[Mapping[str, str], int]] = {
    "another host": ({"host": "rebound.evil.example:8100"}, 421),
    "another origin": ({"origin": "https://evil.example"}, 403),
    "an opaque origin": ({"origin": "null"}, 403),
    "another site": ({"sec-fetch-site": "cross-site"}, 403),
}


async def upload_link(api: ApiUnderTest) -> str:
    location = await api.data.create_upload_location(
        CreateUploadLocationRequest(
            project=PROJECT,
            domain=DOMAIN,
            content_md5=hashlib.md5(BODY, usedforsecurity=False).digest(),
            filename="code.py",
        )
    )
    address = urlsplit(location.signed_url)
    return f"{address.path}?{address.query}"


@pytest.mark.parametrize(("headers", "status"), FOREIGN.values(), ids=FOREIGN.keys())
async def test_foreign_page_is_refused_on_every_route(
    api: ApiUnderTest, headers: Mapping[str, str], status: int
) -> None:
    link = await upload_link(api)
    async with httpx.AsyncClient(base_url=api.url) as http:
        for path in ("/healthz", "/readyz", "/metrics", link, "/v2/domain/d/project/p/runs/r1"):
            answer = await http.get(path, headers=headers)
            assert answer.status_code == status, path
            assert len(answer.text.split()) > 5
        for path in ("/nowhere", link):
            answer = await http.request("PUT", path, headers=headers, content=BODY)
            assert answer.status_code == status, path
        answer = await http.post(
            CREATE_RUN,
            content=create_run().SerializeToString(),
            headers={"content-type": "application/proto", **headers},
        )
        assert answer.status_code == status
        assert answer.json()["code"] == "permission_denied"
    code, _ = await refusal(api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id())))
    assert code.value == "not_found"  # nothing ran


async def test_own_page_and_programs_are_answered(api: ApiUnderTest) -> None:
    link = await upload_link(api)
    own: list[Mapping[str, str]] = [
        {},
        {"host": "public"},
        {"origin": api.url, "sec-fetch-site": "same-origin"},
        {"host": "public", "origin": "http://public"},
    ]
    async with httpx.AsyncClient(base_url=api.url) as http:
        for headers in own:
            assert (await http.get("/healthz", headers=headers)).status_code == 200
            md5 = b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()
            answer = await http.put(link, content=BODY, headers={"content-md5": md5, **headers})
            assert answer.status_code == 200, answer.text
