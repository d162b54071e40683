"""The unmodified Flyte SDK and command line log in over TLS, in each of their ways."""

import asyncio
import base64
import os
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from controlplane.api.identity import AuthMetadataService, IdentityService
from controlplane.api.interceptors import Interceptors
from controlplane.api.metrics import CallMetrics
from controlplane.api.server import PublicApi
from controlplane.authn.signing_keys import make_key
from controlplane.store.database import Database
from controlplane.web.app import make_application
from controlplane.web.origins import OriginCheck
from shared.kit.clock import SystemClock
from tests.integration.oauth.world import (
    ADA,
    API_KEY,
    API_SECRET,
    SERVICE,
    World,
    form_fields,
)
from tests.kube.certificates import Authority
from tests.servers.http import serving

ROOT = Path(__file__).parents[3]
WITHIN_SECONDS = 120


@dataclass
class Service:
    """A control plane behind TLS, of which only logging in and "who am I" are served."""

    world: World
    address: str
    authority: Path
    home: Path

    @property
    def endpoint(self) -> str:
        return f"dns:///{self.address.removeprefix('https://')}"

    def grants(self, outcome: str = "ok") -> float:
        labels = {"endpoint": "token", "outcome": outcome}
        return self.world.metrics.get_sample_value("volary_oauth_requests_total", labels) or 0

    async def start(
        self, *command: str, config: Mapping[str, str], **environment: str
    ) -> asyncio.subprocess.Process:
        """Start a command of a user whose configuration file has these lines under ``admin``."""
        settings = {
            "endpoint": self.endpoint,
            "caCertFilePath": str(self.authority),
            "disableKeyring": "true",
            **config,
        }
        lines = "".join(f"  {name}: {value}\n" for name, value in settings.items())
        file = self.home / "config.yaml"
        file.write_text(f"admin:\n{lines}")
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "UCTL_CONFIG": str(file),
                "SSL_CERT_FILE": str(self.authority),
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
                "DO_NOT_TRACK": "1",
                "NO_COLOR": "1",
                "TERM": "dumb",
                "COLUMNS": "500",
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def start_whoami(
        self, *options: str, config: Mapping[str, str], **environment: str
    ) -> asyncio.subprocess.Process:
        """Start ``flyte whoami``."""
        command = (FLYTE, "--config", str(self.home / "config.yaml"), *options, "whoami")
        return await self.start(*command, config=config, **environment)

    async def whoami(self, *, config: Mapping[str, str], **environment: str) -> tuple[int, str]:
        return await finish(await self.start_whoami(config=config, **environment))

    @property
    def browser(self) -> str:
        """The value of BROWSER with which Python opens addresses in ours, in the background."""
        return f"{shlex.quote(sys.executable)} -m tests.integration.oauth.browser %s &"


FLYTE = str(Path(sys.executable).with_name("flyte"))


async def finish(process: asyncio.subprocess.Process, given: str = "") -> tuple[int, str]:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            output, _ = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


@asynccontextmanager
async def serve(database: Database, home: Path) -> AsyncIterator[Service]:
    authority = Authority(home / "authority")
    identity = authority.issue("server", reached_at=["localhost", "127.0.0.1"])
    served: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await served["application"](scope, receive, send)

    async with serving(application, certificate=identity.certificate, key=identity.key) as bound:
        address = bound.replace("127.0.0.1", "localhost")
        clock = SystemClock()
        world = World(database, clock, public_url=address)
        public = PublicApi(
            {
                "flyteidl2.auth.IdentityService": IdentityService(),
                "flyteidl2.auth.AuthMetadataService": AuthMetadataService(
                    address,
                    has_logins=True,
                    callback=f"http://localhost:{_free_port()}/callback",
                ),
            },
            Interceptors(world.authn, CallMetrics(CollectorRegistry()), clock),
        )

        async def withdraw_access_tokens(_request: Request) -> Response:
            world.keys.replace([make_key(clock.now())])
            world.tokens.forget_verified()
            return Response()

        served["application"] = make_application(
            public=public,
            routes=[
                *world.routes,
                Route("/test/withdraw-access-tokens", withdraw_access_tokens, methods=["POST"]),
            ],
            origin_check=OriginCheck(address),
        )
        yield Service(world, address, authority.certificate, home)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
