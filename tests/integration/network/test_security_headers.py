"""Headers for browsers on every answer of the port: pages, files, RPCs, probes, errors, refusals."""

from collections.abc import Mapping

import httpx
import pytest

from controlplane.web.security_headers import SecurityHeaders
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import create_run
from tests.integration.network.served import Served, put_blob

RPC = "/flyteidl2.workflow.RunService/CreateRun"
RUN = "/v2/domain/development/project/flytesnacks/runs"
FOREIGN = {"origin": "https://evil.example"}
REQUESTS: Mapping[str, tuple[str, str, Mapping[str, str], int]] = {
    "probe": ("GET", "/healthz", {}, 200),
    "metrics": ("GET", "/metrics", {}, 200),
    "page": ("GET", f"{RUN}/r1", {}, 200),
    "page as JSON": ("GET", f"{RUN}/r1", {"accept": "application/json"}, 200),
    "page of another thing": ("GET", f"{RUN.removesuffix('runs')}tasks/t", {}, 200),
    "no such page": ("GET", f"{RUN}/none", {}, 404),
    "file": ("GET", "{link}", {}, 200),
    "file's head": ("HEAD", "{link}", {}, 200),
    "file by an altered link": ("GET", "{link}0", {}, 403),
    "no such route": ("GET", "/nowhere", {}, 404),
    "no such method": ("DELETE", "/healthz", {}, 405),
    "RPC": ("POST", RPC, {"content-type": "application/proto"}, 200),
    "RPC that fails": ("POST", RPC, {"content-type": "application/json"}, 400),
    "RPC that does not exist": ("POST", "/flyteidl2.x/Y", {}, 404),
    "RPC of a foreign page": ("POST", RPC, FOREIGN, 403),
    "page of a foreign page": ("GET", f"{RUN}/r1", FOREIGN, 403),
    "another host": ("GET", "/healthz", {"host": "evil.example"}, 421),
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
async def test_security_headers_are_on_every_answer(
    served: Served, request_: tuple[str, str, Mapping[str, str], int], version: str
) -> None:
    method, path, headers, status = request_
    link = await put_blob(served, "f.html", b"<script></script>")
    body = create_run().SerializeToString()
    trust = served.files.trust()
    async with httpx.AsyncClient(
        base_url=served.api.url, verify=trust, http2=version == "HTTP/2"
    ) as http:
        await http.post(RPC, content=body, headers={"content-type": "application/proto"})
        content = body if method == "POST" else None
        answer = await http.request(
            method, path.format(link=link), headers=headers, content=content
        )
    assert answer.http_version == version
    assert answer.status_code == status
    found = answer.headers
    assert found.get_list("x-content-type-options") == ["nosniff"]
    assert found["strict-transport-security"] == "max-age=31536000"
    assert found["cache-control"] in {"no-store", "private, no-cache"}
    if not path.startswith("/flyteidl2."):
        (policy,) = found.get_list("content-security-policy")
        assert "frame-ancestors" in policy
        assert "default-src 'none'" in policy or policy.startswith("sandbox")
        assert found["referrer-policy"] in {"no-referrer", "same-origin"}
        assert "camera=()" in found["permissions-policy"]
        assert found["cross-origin-opener-policy"] == "same-origin"
        assert found["x-frame-options"] in {"DENY", "SAMEORIGIN"}


async def test_refusal_of_a_head_forbids_sniffing(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.api.url, verify=served.files.trust()) as http:
        answer = await http.get("/healthz", headers={"x-large": "x" * 20_000})
    assert answer.status_code == 431
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_answers_in_the_clear_do_not_ask_for_tls(plain: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=plain.url) as http:
        answer = await http.get("/healthz")
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("url", ["https://localhost:8100", "https://127.0.0.1", "https://[::1]:1"])
async def test_loopback_never_asks_browsers_to_use_tls_only(url: str) -> None:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "scheme": "https"}
    add = SecurityHeaders(url).add(scope, send, is_rpc=False)  # type: ignore[arg-type]
    own = (b"Content-Security-Policy", b"sandbox")
    await add({"type": "http.response.start", "status": 200, "headers": [own]})
    headers = sent[0]["headers"]
    assert isinstance(headers, list)
    names = [name.lower() for name, _ in headers]
    assert own in headers
    assert names.count(b"content-security-policy") == 1
    assert b"strict-transport-security" not in names
