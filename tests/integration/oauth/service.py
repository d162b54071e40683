"""A control plane behind TLS, of which only logging in and "who am I" are served."""

import asyncio
import os
import shlex
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from scripts.sdk_exits import intended_exit_code
from shared.kit.clock import SystemClock
from tests.integration.credentials.conftest import add_org
from tests.integration.oauth.world import World
from tests.kube.certificates import Authority
from tests.ports import free_ports
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
    requests: Counter[str]
    """Requests of each path."""
    held: dict[str, asyncio.Event]
    """Requests of a path wait for its event."""

    def withdraw_access_tokens(self) -> None:
        """Let no access token be valid any more; logins stay."""
        self.world.keys.replace([make_key(self.world.clock.now())])
        self.world.tokens.forget_verified()

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
    text = output.decode()
    return intended_exit_code(process.returncode or 0, text), text


@asynccontextmanager
async def serve(
    database: Database, home: Path, services: Mapping[str, object] | None = None
) -> AsyncIterator[Service]:
    """Serve logins and identities, and other ``services`` by their full names."""
    authority = Authority(home / "authority")
    identity = authority.issue("server", reached_at=["localhost", "127.0.0.1"])
    served: dict[str, Any] = {}
    held: dict[str, asyncio.Event] = {}
    requests: Counter[str] = Counter()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        requests[scope["path"]] += 1
        if scope["path"] in held:
            await held[scope["path"]].wait()
        await served["application"](scope, receive, send)

    async with serving(application, certificate=identity.certificate, key=identity.key) as bound:
        address = bound.replace("127.0.0.1", "localhost")
        clock = SystemClock()
        await add_org(database)
        world = World(database, clock, public_url=address)
        service = Service(world, address, authority.certificate, home, requests, held)
        public = PublicApi(
            {
                "flyteidl2.auth.IdentityService": IdentityService(),
                "flyteidl2.auth.AuthMetadataService": AuthMetadataService(
                    address,
                    has_logins=True,
                    callback=f"http://localhost:{free_ports(1)[0]}/callback",
                ),
                **(services or {}),
            },
            Interceptors(world.authn, CallMetrics(CollectorRegistry()), clock),
        )

        async def withdraw_access_tokens(_request: Request) -> Response:
            service.withdraw_access_tokens()
            return Response()

        served["application"] = make_application(
            public=public,
            routes=[
                *world.routes,
                Route("/test/withdraw-access-tokens", withdraw_access_tokens, methods=["POST"]),
            ],
            origin_check=OriginCheck(address),
        )
        try:
            yield service
        finally:
            for event in held.values():  # a test that failed leaves no request that waits
                event.set()
