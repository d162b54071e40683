"""The unmodified Flyte SDK and command line log in over TLS, in each of their ways."""

import asyncio
import base64
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from controlplane.store.database import Database
from tests.integration.oauth.service import WITHIN_SECONDS, Service, finish, serve
from tests.integration.oauth.world import ADA, API_KEY, API_SECRET, SERVICE, form_fields


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> AsyncIterator[Service]:
    async with serve(database, tmp_path) as service:
        yield service


async def test_flyte_logs_in_with_pkce_in_a_browser(service: Service) -> None:
    code, output = await service.whoami(config={"authType": "Pkce"}, BROWSER=service.browser)
    assert code == 0, output
    assert ADA in output


async def test_sdk_refreshes_a_refused_token_without_another_login(service: Service) -> None:
    process = await service.start(
        sys.executable,
        "-m",
        "tests.integration.oauth.sdk_calls",
        "refresh",
        service.endpoint,
        str(service.authority),
        config={},
        BROWSER=service.browser,
    )
    code, output = await finish(process)
    assert code == 0, output
    assert output.split().count(ADA) == 2
    assert service.grants() == 2  # one code, one refresh
    assert service.grants("invalid_grant") == 0


async def test_flyte_logs_in_a_device(service: Service) -> None:
    process = await service.start_whoami(config={"authType": "DeviceFlow"})
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not (match := re.search(r"https://\S*user_code=([A-Z]{4}-[A-Z]{4})", shown)):
            chunk = await process.stdout.read(1000)
            assert chunk, shown
            shown += chunk.decode()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.world.application), base_url=service.address
    ) as person:
        person.cookies.set("person", "ada")
        entry = await person.get(match[0])
        fields = {**form_fields(entry), "user_code": match[1], "decision": "allow"}
        assert (await person.post("/device", data=fields)).status_code == 200
    code, output = await finish(process)
    assert code == 0, shown + output
    assert ADA in output


async def test_flyte_authenticates_with_an_api_key(service: Service) -> None:
    key = base64.b64encode(f"localhost:{API_KEY}:{API_SECRET}:acme".encode()).decode()
    process = await service.start_whoami(
        "--endpoint", service.endpoint, config={}, FLYTE_API_KEY=key
    )
    code, output = await finish(process)
    assert code == 0, output
    assert SERVICE in output


async def test_flyte_authenticates_with_client_credentials(service: Service) -> None:
    config = {"authType": "ClientSecret", "clientId": API_KEY, "clientSecretEnvVar": "SECRET"}
    code, output = await service.whoami(config=config, SECRET=API_SECRET)
    assert code == 0, output
    assert SERVICE in output


async def test_flyte_with_a_wrong_secret_fails_with_a_sentence(service: Service) -> None:
    config = {"authType": "ClientSecret", "clientId": API_KEY, "clientSecretEnvVar": "SECRET"}
    code, output = await service.whoami(config=config, SECRET="wrong")  # noqa: S106
    assert code != 0
    assert "unknown, expired or revoked" in output


async def obtain_token(service: Service) -> str:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.world.application), base_url=service.address
    ) as http:
        answer = await http.post(
            "/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=httpx.BasicAuth(API_KEY, API_SECRET),
        )
    token: str = answer.json()["access_token"]
    return token


async def test_flyte_uses_the_token_that_a_command_prints(service: Service) -> None:
    token = await obtain_token(service)
    config = {"authType": "ExternalCommand", "command": f"[printf, {token}]"}
    code, output = await service.whoami(config=config)
    assert code == 0, output
    assert SERVICE in output


async def test_sdk_passes_a_header_through(service: Service) -> None:
    process = await service.start(
        sys.executable,
        "-m",
        "tests.integration.oauth.sdk_calls",
        "passthrough",
        service.endpoint,
        str(service.authority),
        config={},
    )
    token = await obtain_token(service)
    code, output = await finish(process, f"Bearer {token}\n")
    assert code == 0, output
    assert SERVICE in output
