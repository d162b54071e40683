"""One control plane behind TLS, two orgs with providers, people, keys and agents of their own."""

import asyncio
import base64
import os
import re
import secrets
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from controlplane.authn.sealing import Sealer
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity_providers import ProviderSettings
from controlplane.store.database import open_database
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.providers import IdentityProviders
from scripts.sdk_exits import require_success
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import OrgName
from shared.secrets.keyrings import make_aes_key
from tests.browsers import HOME, Person
from tests.integration.replicas.world import context
from tests.kube.certificates import Authority
from tests.ports import free_ports
from tests.programs import Program
from tests.servers import oidc_provider
from tests.servers.oidc_provider import ADA, SECRET, OidcProviderForTests
from tests.servers.postgres import DatabaseForTest

ROOT = Path(__file__).parents[3]
WITHIN_SECONDS = 120
PROJECT, DOMAIN = "flytesnacks", "development"
WORKFLOW = "tests/system/workflows/secretive.py"
VOLARY = (sys.executable, "-m", "controlplane.cli")
FLYTE = str(Path(sys.executable).with_name("flyte"))
_SETTLED = frozenset({"ACTION_PHASE_SUCCEEDED", "ACTION_PHASE_FAILED", "ACTION_PHASE_ABORTED"})


@dataclass(slots=True, kw_only=True)
class Tenant:
    """An org: its provider, its one person, and what that person has made."""

    org: str
    account: str  # at the provider, and the local part of the e-mail address
    provider: OidcProviderForTests
    home: Path
    api_key: str = field(default="", repr=False)  # in the SDK's form
    secret: str = field(default="", repr=False)  # value of My-Key
    markers: "set[str]" = field(default_factory=set)  # texts that nobody else may see

    @property
    def email(self) -> str:
        return f"{self.account}@{self.org}.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    host: str  # host:port of the API
    link: str
    enrolment: str
    authority: Path
    database: DatabaseForTest
    sealing_key: bytes
    home: Path

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def http(self) -> httpx.AsyncClient:
        trust = ssl.create_default_context(cafile=str(self.authority))
        return httpx.AsyncClient(base_url=self.url, verify=trust, timeout=60)

    def environment(self, tenant: Tenant, **more: str) -> Mapping[str, str]:
        """Return the environment of a program of the tenant's."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(tenant.home),
            "XDG_CONFIG_HOME": str(tenant.home / "config"),
            "SSL_CERT_FILE": str(self.authority),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "COLUMNS": "500",
            "PYTHONUNBUFFERED": "1",
            **more,
        }

    async def start(
        self,
        tenant: Tenant,
        *command: str,
        stderr: int = asyncio.subprocess.STDOUT,
        place: Path = ROOT,
        **more: str,
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=place,
            env=self.environment(tenant, **more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )

    async def volary(self, tenant: Tenant, *arguments: str, **more: str) -> str:
        """Run ``volary`` as the tenant, and return what it prints; it must succeed."""
        process = await self.start(
            tenant, *VOLARY, *arguments, stderr=asyncio.subprocess.PIPE, place=ROOT, **more
        )
        return await finish(process)

    async def with_key(self, tenant: Tenant, *arguments: str) -> str:
        """Run ``volary`` with the tenant's API key and without any login."""
        return await self.volary(
            tenant,
            *arguments,
            VOLARY_API_KEY=tenant.api_key,
            VOLARY_URL=self.url,
            VOLARY_CA_FILE=str(self.authority),
            XDG_CONFIG_HOME=str(tenant.home / "no-login"),
        )

    def flyte_config(self, tenant: Tenant, **admin: str) -> str:
        """Write a configuration file of the ``flyte`` command; return its path."""
        settings = {
            "endpoint": f"dns:///{self.host}",
            "caCertFilePath": str(self.authority),
            "disableKeyring": "true",
            **admin,
        }
        lines = "".join(f"  {name}: {value}\n" for name, value in settings.items())
        path = tenant.home / f"flyte-{admin.get('authType', 'key')}.yaml"
        task = f"task:\n  project: {PROJECT}\n  domain: {DOMAIN}\n"
        path.write_text(f"admin:\n{lines}{task}")
        return str(path)

    async def flyte(self, tenant: Tenant, *arguments: str) -> str:
        """Run ``flyte`` with the tenant's API key; it must succeed."""
        config = ("--config", self.flyte_config(tenant), "--endpoint", f"dns:///{self.host}")
        command = (FLYTE, *config, *arguments)
        process = await self.start(tenant, *command, FLYTE_API_KEY=tenant.api_key)
        return await finish(process, is_flyte=True)

    async def token(self, tenant: Tenant) -> str:
        """Return an access token for the tenant's API key."""
        _, client, secret, _ = base64.b64decode(tenant.api_key).decode().split(":")
        async with self.http() as http:
            answer = await http.post(
                "/oauth2/token",
                data={"grant_type": "client_credentials"},
                auth=httpx.BasicAuth(client, secret),
            )
        return str(answer.raise_for_status().json()["access_token"])

    async def call(self, tenant: Tenant, rpc: str, body: Mapping[str, Any]) -> httpx.Response:
        """Send plain JSON with the tenant's key."""
        headers = {"authorization": f"Bearer {await self.token(tenant)}"}
        async with self.http() as http:
            return await http.post(f"/{rpc}", json=body, headers=headers)

    async def wait_for_output(self, tenant: Tenant, run: str) -> str:
        """Return what the run's root action printed as its only output."""
        where = {"org": tenant.org, "project": PROJECT, "domain": DOMAIN, "name": run}
        details: dict[str, Any] = {}
        async with asyncio.timeout(WITHIN_SECONDS):
            while details.get("phase") not in _SETTLED:
                answer = await self.call(
                    tenant, "flyteidl2.workflow.RunService/GetRunDetails", {"runId": where}
                )
                details = answer.raise_for_status().json()["details"]["action"]["status"]
                await asyncio.sleep(0.2)
        assert details["phase"] == "ACTION_PHASE_SUCCEEDED", details
        answer = await self.call(
            tenant,
            "flyteidl2.dataproxy.DataProxyService/GetActionData",
            {"actionId": {"run": where, "name": "a0"}},
        )
        [output] = answer.raise_for_status().json()["outputs"]["literals"]
        return str(output["value"]["scalar"]["primitive"]["stringValue"])

    @contextmanager
    def agent(self, tenant: Tenant, cluster: str, join_token: str) -> Iterator[Program]:
        """Run an agent that has a join token and the addresses, and nothing else."""
        home = tenant.home / f"agent-{cluster}"
        home.mkdir()
        (home / "join-token").write_text(join_token)
        program = Program(
            f"agent-{tenant.org}-{cluster}",
            [sys.executable, "-m", "dataplane.agent", "run"],
            logs=self.home,
            environment={
                **context(home),
                "SSL_CERT_FILE": str(self.authority),
                "VOLARY_AGENT_DATA_DIR": str(home / "data"),
                "VOLARY_AGENT_CONTROL_PLANE": self.link,
                "VOLARY_AGENT_ENROLMENT": self.enrolment,
                "VOLARY_AGENT_JOIN_TOKEN_FILE": str(home / "join-token"),
                "VOLARY_AGENT_CA_FILE": str(self.authority),
                "VOLARY_AGENT_PUBLIC_ENDPOINT": self.host,
                "VOLARY_AGENT_PUBLIC_TLS": "true",
            },
        )
        with program.running():
            yield program


async def finish(process: asyncio.subprocess.Process, *, is_flyte: bool = False) -> str:
    """Return what a program prints; it must succeed. ``is_flyte``: it is the SDK's, not ours."""
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = (output + (errors or b"")).decode()
    if is_flyte:
        require_success(process.returncode, text)
    else:
        assert process.returncode == 0, text
    return output.decode()


@contextmanager
def running(
    home: Path, database: DatabaseForTest, *, at: str = "localhost", **variables: str
) -> Iterator[Installation]:
    """
    Run the control plane with logins, and TLS on all its ports.

    ``at``: the name or address of this machine that clients use. ``variables``: more settings.
    """
    authority = Authority(home / "authority")
    server = authority.issue("server", reached_at=["localhost", "127.0.0.1", at])
    http, link, enrolment = free_ports(3, host=at)
    sealing_key = secrets.token_bytes(32)
    (home / "secrets-keys").write_text(make_aes_key())
    installation = Installation(
        host=f"{at}:{http}",
        link=f"{at}:{link}",
        enrolment=f"{at}:{enrolment}",
        authority=authority.certificate,
        database=database,
        sealing_key=sealing_key,
        home=home,
    )
    replica = Program(
        "controlplane",
        [*VOLARY, "controlplane", "serve"],
        logs=home,
        environment={
            **context(home),
            "VOLARY_DATABASE_URL": database.url,
            "VOLARY_BLOB_BASE": (home / "blobs").as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
            "VOLARY_HOST": "127.0.0.1" if at == "localhost" else at,
            "VOLARY_PUBLIC_URL": f"https://{at}:{http}",
            "VOLARY_HTTP_PORT": str(http),
            "VOLARY_LINK_PORT": str(link),
            "VOLARY_ENROLMENT_PORT": str(enrolment),
            "VOLARY_TLS_CERT_FILE": str(server.certificate),
            "VOLARY_TLS_KEY_FILE": str(server.key),
            "VOLARY_LINK_TLS_CERT_FILE": str(server.certificate),
            "VOLARY_LINK_TLS_KEY_FILE": str(server.key),
            "VOLARY_SECRETS_KEY_FILE": str(home / "secrets-keys"),
            "VOLARY_AUTH": "oidc",
            "VOLARY_SEALING_KEY": base64.b64encode(sealing_key).decode(),
            "VOLARY_OIDC_PRIVATE_ADDRESSES": "true",
            **variables,
        },
    )
    with replica.running():
        replica.wait_until(partial(_is_ready, installation), "ready", within=60)
        yield installation


def _is_ready(installation: Installation) -> bool:
    trust = ssl.create_default_context(cafile=str(installation.authority))
    try:
        return httpx.get(f"{installation.url}/readyz", verify=trust).is_success
    except httpx.TransportError:
        return False


@contextmanager
def tenants(installation: Installation, people: Mapping[str, str]) -> Iterator[list[Tenant]]:
    """Create orgs with providers, each with one person who is their admin by a group."""
    with ExitStack() as stack:
        made = []
        for org, account in people.items():
            email = f"{account}@{org}.example"
            claims = {**ADA, "name": account.title(), "email": email, "groups": ["platform"]}
            provider = stack.enter_context(
                oidc_provider.running(
                    installation.home,
                    name=f"provider-{org}",
                    redirect_uris=[f"{installation.url}/login/callback"],
                    accounts={account: claims},
                )
            )
            home = installation.home / org
            home.mkdir()
            tenant = Tenant(org=org, account=account, provider=provider, home=home)
            asyncio.run(_create_org(installation, tenant))
            made.append(tenant)
        yield made


async def _create_org(installation: Installation, tenant: Tenant) -> None:
    """Create the org and its provider, as an operator does."""
    database, clock = open_database(installation.database.url), SystemClock()
    operator = Caller(
        subject=Subject("operator:test"),
        org=OrgName(tenant.org),
        name="",
        grants=org_wide(EVERYTHING),
    )
    try:
        await Invitations(database, clock).create_owner_link(operator)
        sealer = Sealer([SecretBytes(installation.sealing_key)])
        await IdentityProviders(database, sealer, clock, allow_http=True).create(
            operator,
            ProviderSettings(
                name=f"{tenant.org} single sign-on",
                issuer=tenant.provider.issuer,
                client_id=tenant.provider.client_id,
                scopes=("openid", "email", "profile", "groups", "offline_access"),
                groups_claim="groups",
                email_domains=(f"{tenant.org}.example",),
                role="admin",
            ),
            SecretText(SECRET),
        )
    finally:
        await database.close()


async def log_in(person: Person, installation: Installation, tenant: Tenant) -> None:
    """Log in at the provider of the person's org."""
    page = person.page
    await page.goto(f"{installation.url}/login")
    await page.get_by_label("Org or e-mail address").fill(tenant.org)
    await person.press("Continue")
    await tenant.provider.log_in_at(page, tenant.account)
    await page.wait_for_url(HOME)


class OpenedAddresses:
    """A program for BROWSER, which hands the address that a command opens to the test."""

    def __init__(self, home: Path) -> None:
        self._opened = home / f"opened-{secrets.token_hex(4)}"
        self._program = self._opened.with_suffix(".sh")
        self._program.write_text(
            f'#!/bin/sh\necho "$1" > {self._opened}.new && mv {self._opened}.new {self._opened}\n'
        )
        self._program.chmod(0o700)

    @property
    def variable(self) -> str:
        """The value of BROWSER."""
        return f"{self._program} %s"

    async def next(self, process: asyncio.subprocess.Process) -> str:
        """Return the address that the command has opened."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while not self._opened.exists():
                assert process.returncode is None, (await process.communicate())[0].decode()
                await asyncio.sleep(0.05)
        return self._opened.read_text().strip()


def run_name(output: str) -> str:
    """Return the name of the run that ``flyte run`` has printed the address of."""
    found = re.search(r"/runs/(\w+)", output)
    assert found is not None, output
    return found[1]


async def allow(person: Person, address: str) -> None:
    """Open an address that a program has given, and allow what it asks."""
    await person.page.goto(address)
    await person.press("Allow")
