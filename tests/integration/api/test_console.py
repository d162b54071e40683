"""The console's page and files as a browser, a program and a cache get them."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from controlplane.web.console import BuiltConsole, ConsoleFile
from tests.integration.api.client import ApiUnderTest, open_api
from tests.integration.api.requests import create_run

RUN = "/v2/domain/development/project/flytesnacks/runs/r1"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = ConsoleFile("text/javascript", '"1"', b"plain", {"br": b"br", "gzip": b"gz"})
BUILT = BuiltConsole(
    b"<html>the console</html>",
    "1.2.3+abc",
    {"assets/a-1.js": SCRIPT, "icon.svg": ConsoleFile("image/svg+xml", '"2"', b"<svg/>", {})},
)


@pytest.fixture
async def console(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs", console=BUILT) as api:
        yield api


async def test_browser_gets_the_console_at_every_address(console: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=console.url, headers=BROWSER) as http:
        assert (await http.get("/")).headers["location"] == "/v2"
        for path in ("/v2", "/v2/me", RUN, f"{RUN}?i=a0"):
            answer = await http.get(path)
            assert (answer.status_code, answer.text) == (200, "<html>the console</html>"), path
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["content-security-policy"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
                " font-src 'self'; connect-src 'self' http://public; frame-src 'self' http://public;"
                " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            )
        etag = (await http.get("/v2")).headers["etag"]
        again = await http.get("/v2", headers={"if-none-match": etag})
        assert again.status_code == 304
        assert "content-security-policy" in again.headers


async def test_console_address_that_cannot_exist_is_answered_404_by_the_console(
    console: ApiUnderTest,
) -> None:
    async with httpx.AsyncClient(base_url=console.url, headers=BROWSER) as http:
        answer = await http.get("/v2/domain/Upper/project/x/runs/r")
    assert (answer.status_code, answer.text) == (404, "<html>the console</html>")


async def test_program_and_browser_without_scripts_get_the_plain_page(
    console: ApiUnderTest,
) -> None:
    await console.runs.create_run(create_run())
    async with httpx.AsyncClient(base_url=console.url) as http:
        answer = await http.get(RUN, headers={"accept": "application/json"})
        assert answer.json()["state"] == "queued"
        assert "queued" in (await http.get(RUN)).text
        assert "queued" in (await http.get(f"{RUN}?plain", headers=BROWSER)).text


async def test_console_without_built_files_is_the_plain_pages(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    async with httpx.AsyncClient(base_url=api.url, headers=BROWSER) as http:
        assert "queued" in (await http.get(RUN)).text
        assert (await http.get("/v2")).status_code == 200
        assert (await http.get("/v2/nothing")).status_code == 404
        assert (await http.get("/console/assets/a-1.js")).status_code == 404


async def test_console_files_are_compressed_and_kept_by_caches(console: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=console.url) as http:
        for accepted, encoding, body in (
            ("br, gzip", "br", b"br"),
            ("gzip", "gzip", b"gz"),
            ("identity", None, b"plain"),
        ):
            request = http.build_request(
                "GET", "/console/assets/a-1.js", headers={"accept-encoding": accepted}
            )
            answer = await http.send(request, stream=True)
            assert b"".join([each async for each in answer.aiter_raw()]) == body
            assert answer.headers.get("content-encoding") == encoding
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["vary"] == "Accept-Encoding"
            assert answer.headers["content-type"].startswith("text/javascript")
        icon = await http.get("/console/icon.svg")
        assert icon.headers["cache-control"] == "no-cache"
        none = await http.get("/console/assets/../../pages.py")
        assert none.status_code == 404
        assert none.headers["cache-control"] == "no-store"


async def test_answers_name_the_release(console: ApiUnderTest) -> None:
    async with httpx.AsyncClient(base_url=console.url) as http:
        rpc = await http.post("/flyteidl2.auth.IdentityService/UserInfo", json={})
        assert rpc.headers["x-volary-release"] == BUILT.release
        assert (await http.get("/v2")).headers["x-volary-release"] == BUILT.release
