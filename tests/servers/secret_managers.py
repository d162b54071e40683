"""
Secret managers for tests: AWS's by moto, the others small doubles of ours.

No registry serves a server of Google Cloud's, Azure's or Vault's. The doubles answer the few
routes that the agent calls as their documentation says; the clients are the real libraries. They
prove what we send and how we take the answers, not what the real services accept.
"""

import gc
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
import httpx
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dataplane.agent.secret_managers.aws import AwsSecretsManager
from dataplane.agent.secret_managers.azure import AzureKeyVault
from dataplane.agent.secret_managers.gcp import GcpSecretManager
from dataplane.agent.secret_managers.protocol import SecretManager
from dataplane.agent.secret_managers.vault import Vault, VaultLogin
from tests.kube.certificates import Authority
from tests.servers.http import serving

PREFIX = "volary"
REGION = "eu-central-1"


class ManagerForTest(Protocol):
    @property
    def manager(self) -> SecretManager: ...

    def put(self, secret_id: str, value: str) -> None:
        """Create the secret, or a new version of it."""

    def count_calls(self) -> int:
        """Return how many calls of the agent were answered."""
        ...


@dataclass(slots=True, kw_only=True)
class Double:
    """Secrets of a double, and the ids that it denies."""

    values: "dict[str, str]" = field(default_factory=dict)
    denied: "set[str]" = field(default_factory=set)
    calls: "list[str]" = field(default_factory=list)  # the ids that were asked for
    status: int = 0  # answered to every call, if set
    manager: SecretManager = field(init=False)

    def put(self, secret_id: str, value: str) -> None:
        self.values[secret_id] = value

    def count_calls(self) -> int:
        return len(self.calls)

    def answer(
        self, secret_id: str, found: Callable[[str], object], error: Callable[[int], object]
    ) -> Response:
        self.calls.append(secret_id)
        status = self.status or (403 if secret_id in self.denied else 404)
        if self.status or secret_id in self.denied or secret_id not in self.values:
            return JSONResponse(error(status), status)
        return JSONResponse(found(self.values[secret_id]))


@dataclass(slots=True)
class Moto:
    """AWS's Secrets Manager as moto plays it: without policies, denials and failures."""

    manager: AwsSecretsManager
    client: Any
    calls: "list[object]" = field(default_factory=list)

    def put(self, secret_id: str, value: str) -> None:
        try:
            self.client.create_secret(Name=secret_id, SecretString=value)
        except self.client.exceptions.ResourceExistsException:
            self.client.put_secret_value(SecretId=secret_id, SecretString=value)

    def count_calls(self) -> int:
        return len(self.calls)


@asynccontextmanager
async def aws() -> AsyncIterator[Moto]:
    """Serve AWS Secrets Manager; the caller sets credentials in the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        async with httpx.AsyncClient() as http:  # secrets are the process's
            (await http.post(f"{endpoint}/moto-api/reset")).raise_for_status()
        client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=endpoint)
        moto = Moto(AwsSecretsManager(PREFIX, region=REGION, endpoint=endpoint), client)
        moto.manager.events.register("before-call", lambda **call: moto.calls.append(call["model"]))
        yield moto
        client.close()
    finally:
        server.stop()


@asynccontextmanager
async def vault(home: Path) -> AsyncIterator[Double]:
    """Serve Vault's KV engine, and its login with a service account's token."""
    double = Double()
    logins: list[str] = []
    (home / "token").write_text("the-service-accounts-token")

    async def log_in(request: Request) -> Response:
        body = await request.json()
        if body != {"role": "volary-agent", "jwt": "the-service-accounts-token"}:
            return JSONResponse({"errors": ["invalid role name"]}, 400)
        logins.append(f"token-{len(logins)}")
        return JSONResponse({"auth": {"client_token": logins[-1]}})

    async def read(request: Request) -> Response:
        # Every second token has expired at its first use.
        if request.headers.get("x-vault-token") != logins[-1] or len(logins) % 2:
            return JSONResponse({"errors": ["permission denied"]}, 403)
        return double.answer(
            request.path_params["path"],
            lambda value: {"data": {"data": {"value": value}, "metadata": {"version": 1}}},
            lambda status: {"errors": ["denied"] if status != 404 else []},
        )

    routes = [
        Route("/v1/auth/kubernetes/login", log_in, methods=["POST", "PUT"]),
        Route("/v1/secret/data/{path:path}", read),
    ]
    async with serving(Starlette(routes=routes)) as address:
        login = VaultLogin(role="volary-agent", service_account_token=home / "token")
        double.manager = Vault(PREFIX, address=address, login=login)
        yield double


@asynccontextmanager
async def gcp() -> AsyncIterator[Double]:
    """Serve Secret Manager; the caller lets a variable name a file of credentials."""
    double = Double()

    async def access(request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return JSONResponse({"error": {"code": 401, "message": "no token"}}, 401)
        return double.answer(
            request.path_params["secret"],
            lambda value: {"payload": {"data": b64encode(value.encode()).decode()}},
            lambda status: {"error": {"code": status, "message": "no"}},
        )

    route = Route("/v1/projects/acme-cloud/secrets/{secret}/versions/latest:access", access)
    async with serving(Starlette(routes=[route])) as address:
        double.manager = GcpSecretManager(PREFIX, project="acme-cloud", endpoint=address)
        yield double


def write_gcp_credentials(path: Path) -> None:
    """Write the file of a service account with a key of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "acme-cloud",
                "private_key_id": "1",
                "private_key": key.decode(),
                "client_email": "agent@acme-cloud.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )
    )


class _AzureIdentity:
    """Stands for Azure's login, of which there is no server: always has a token."""

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken("the-azure-token", 2**33)


@asynccontextmanager
async def azure(authority: Authority) -> AsyncIterator[Double]:
    """Serve Key Vault over TLS, which its client requires; the caller has the CA trusted."""
    double = Double()
    tenant = "https://login.microsoftonline.com/2f8c1d6e-0000-4000-8000-000000000000"
    challenge = f'Bearer authorization="{tenant}", resource="https://vault.azure.net"'

    async def get(request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer the-azure-token":
            return JSONResponse(
                {"error": {"code": "Unauthorized"}}, 401, {"www-authenticate": challenge}
            )
        name = request.path_params["name"]
        return double.answer(
            name,
            lambda value: {"value": value, "id": f"{address}/secrets/{name}/1", "attributes": {}},
            lambda status: {"error": {"code": "No", "message": f"status {status}"}},
        )

    server = authority.issue("vault", reached_at=["127.0.0.1"])
    routes = [Route("/secrets/{name}/", get), Route("/secrets/{name}", get)]
    async with serving(
        Starlette(routes=routes), certificate=server.certificate, key=server.key
    ) as address:
        double.manager = AzureKeyVault(PREFIX, vault_url=address, credential=_AzureIdentity())
        yield double
        # requests closes connections when their pool is collected, and an error's traceback may
        # refer to it; the server would wait for them.
        gc.collect()
