"""A control plane with logins behind TLS, an agent of the process runtime, and a service account."""

import base64
import json
import os
import secrets
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity import NewBinding, PrincipalKind
from controlplane.core.roles import CONTRIBUTOR
from controlplane.store.database import open_database
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.roles import Roles
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.replicas.world import TOKEN, context
from tests.kube.certificates import Authority
from tests.ports import free_ports
from tests.programs import Program
from tests.servers.postgres import DatabaseForTest

ORG = OrgName("local")
OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))
_WORKFLOW = Path(__file__).with_name("workflow.py")


class LoginWorld:
    """One replica and one agent as processes; ``run_task`` is a user's program with an API key."""

    def __init__(self, home: Path, database: DatabaseForTest) -> None:
        self.home = home
        self.authority = Authority(home / "authority")
        self._database = database
        self._http_port, link_port = free_ports(2)
        self.link = f"127.0.0.1:{link_port}"
        identity = self.authority.issue("server", reached_at=["127.0.0.1"])
        keyring = home / "keyring"
        keyring.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
        self.url = f"https://127.0.0.1:{self._http_port}"
        self.replica = Program(
            "replica",
            [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"],
            logs=home,
            environment={
                **context(home),
                "VOLARY_DATABASE_URL": database.url,
                "VOLARY_BLOB_BASE": (home / "blobs").as_uri(),
                "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
                "VOLARY_CLUSTER_TOKEN": TOKEN,
                "VOLARY_HTTP_PORT": str(self._http_port),
                "VOLARY_LINK_PORT": str(link_port),
                "VOLARY_PUBLIC_URL": self.url,
                "VOLARY_TLS_CERT_FILE": str(identity.certificate),
                "VOLARY_TLS_KEY_FILE": str(identity.key),
                "VOLARY_AUTH": "oidc",
                "VOLARY_SEALING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
                "VOLARY_SECRETS_KEY_FILE": str(keyring),
            },
        )
        token = home / "token"
        token.write_text(TOKEN)
        self.agent = Program(
            "agent",
            [
                *(sys.executable, "-m", "dataplane.agent", "run", "--token-file", str(token)),
                *("--control-plane", f"127.0.0.1:{link_port}"),
                *("--data-dir", str(home / "agent")),
                *("--public-endpoint", f"127.0.0.1:{self._http_port}", "--public-tls"),
                *("--public-ca-file", str(self.authority.certificate)),
            ],
            logs=home,
            environment=context(home),
        )

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.certificate)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", verify=self.trust).status_code == 200
        except httpx.TransportError:
            return False

    async def make_api_key(self) -> None:
        """Create a contributor with an API key; the user's programs are configured with it."""
        database, clock = open_database(self._database.url), SystemClock()
        accounts = ServiceAccounts(database, clock)
        account = await accounts.create(OPERATOR, "builder", "")
        await Roles(database, clock).bind(
            OPERATOR,
            NewBinding(
                kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(account.id), role=CONTRIBUTOR
            ),
        )
        created = await accounts.create_key(OPERATOR, account.id, "ci")
        await database.close()
        assert created.secret is not None
        self._client = created.key.client_id, created.secret.reveal()
        (self.home / "config.yaml").write_text(
            "admin:\n"
            f"  endpoint: dns:///127.0.0.1:{self._http_port}\n"
            f"  caCertFilePath: {self.authority.certificate}\n"
            "  disableKeyring: true\n"
            "  authType: ClientSecret\n"
            f"  clientId: {self._client[0]}\n"
            "  clientSecretEnvVar: CLIENT_SECRET\n"
        )

    def token_of_key(self) -> str:
        answer = httpx.post(
            f"{self.url}/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=self._client,
            verify=self.trust,
        )
        return str(answer.json()["access_token"])

    def call(self, rpc: str, body: Mapping[str, object], token: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/flyteidl2.{rpc}",
            json=body,
            headers={"authorization": f"Bearer {token}"},
            verify=self.trust,
        )

    def run_task(
        self, task: str, number: int, variables: Mapping[str, str] | None = None
    ) -> Program:
        """Start a program that runs a task of the workflow and prints its outputs."""
        program = Program(
            f"run-{task}",
            [
                *(sys.executable, str(_WORKFLOW), str(self.home / "config.yaml")),
                *(task, str(number), json.dumps(variables or {})),
            ],
            logs=self.home,
            environment={
                **context(self.home),
                "PATH": os.environ["PATH"],
                "CLIENT_SECRET": self._client[1],
                "SSL_CERT_FILE": str(self.authority.certificate),
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            },
        )
        program.start()
        return program


@contextmanager
def running(home: Path, database: DatabaseForTest, *, agent: bool = True) -> Iterator[LoginWorld]:
    """Have the replica up for the length of a block, and the agent unless a test starts it."""
    world = LoginWorld(home, database)
    try:
        world.replica.start()
        world.replica.wait_until(world.is_ready, "ready", within=60)
        if agent:
            world.agent.start()
        yield world
    finally:
        for program in (world.agent, world.replica):
            if program.is_running:
                program.end()
