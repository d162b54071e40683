"""Two replicas with logins, as processes: keys, tokens and revocations are the same on both."""

import base64
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity import CreatedApiKey, NewBinding, PrincipalKind
from controlplane.core.roles import OWNER, VIEWER
from controlplane.store.database import Database, open_database
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.roles import Roles
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.replicas.world import context
from tests.ports import free_ports
from tests.programs import Program
from tests.running import until
from tests.servers.postgres import DatabaseForTest

ORG = OrgName("local")
OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))
USER_INFO = "/flyteidl2.auth.IdentityService/UserInfo"


@dataclass(frozen=True, slots=True)
class Replica:
    program: Program
    url: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path)

    def token(self, key: CreatedApiKey) -> httpx.Response:
        assert key.secret is not None
        return self.exchange(key.key.client_id, key.secret.reveal())

    def exchange(self, client_id: str, secret: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=httpx.BasicAuth(client_id, secret),
        )

    def whoami(self, token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.post(self.url + USER_INFO, json={}, headers=headers)


@pytest.fixture
def replicas(test_database: DatabaseForTest, tmp_path: Path) -> Iterator[list[Replica]]:
    ports = free_ports(4)
    sealing_key = base64.b64encode(secrets.token_bytes(32)).decode()
    made = [
        Replica(
            Program(
                f"replica-{number}",
                [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"],
                logs=tmp_path,
                environment=_environment(test_database, tmp_path, sealing_key, ports, number),
            ),
            f"http://localhost:{ports[number]}",
        )
        for number in range(2)
    ]
    try:
        for each in made:
            each.program.start()
        for each in made:
            each.program.wait_until(partial(_is_ready, each.url), "ready", within=60)
        yield made
    finally:
        for each in made:
            if each.program.is_running:
                each.program.end()


def _environment(
    database: DatabaseForTest, home: Path, sealing_key: str, ports: list[int], number: int
) -> Mapping[str, str]:
    return {
        **context(home),
        "VOLARY_DATABASE_URL": database.url,
        "VOLARY_BLOB_BASE": (home / "blobs").as_uri(),
        "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
        "VOLARY_CLUSTER_TOKEN": "the-token-of-a-cluster-of-tests",
        "VOLARY_HTTP_PORT": str(ports[number]),
        "VOLARY_LINK_PORT": str(ports[2 + number]),
        "VOLARY_PUBLIC_URL": f"http://localhost:{ports[0]}",
        "VOLARY_AUTH": "oidc",
        "VOLARY_SEALING_KEY": sealing_key,
    }


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _is_refused(replica: Replica, token: str) -> bool:
    return replica.whoami(token).status_code == 401


def manage(replica: Replica, token: str, rpc: str, **request: object) -> httpx.Response:
    """Call the platform API."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx.post(f"{replica.url}/volary.platform.v1.{rpc}", json=request, headers=headers)


@pytest.fixture
async def database(test_database: DatabaseForTest) -> AsyncIterator[Database]:
    opened = open_database(test_database.url)
    yield opened
    await opened.close()


async def make_key(database: Database) -> tuple[ServiceAccounts, CreatedApiKey]:
    accounts = ServiceAccounts(database, SystemClock())
    account = await accounts.create(OPERATOR, "builder", "")
    return accounts, await accounts.create_key(OPERATOR, account.id, "ci")


async def test_replicas_accept_each_others_tokens_until_the_key_is_revoked(
    replicas: list[Replica], database: Database
) -> None:
    first, second = replicas
    assert first.get("/oauth2/jwks").json() == second.get("/oauth2/jwks").json()
    assert second.whoami("x").status_code == 401

    accounts, key = await make_key(database)
    token = first.token(key).json()["access_token"]
    answer = second.whoami(token)
    assert answer.status_code == 200
    assert answer.json()["subject"].startswith("serviceaccount:")

    await accounts.revoke_key(OPERATOR, key.key.id)
    assert second.token(key).status_code == 401
    for replica in replicas:
        await until(partial(_is_refused, replica, token), "the token is refused")


async def test_people_are_led_to_the_login_page_of_any_replica(replicas: list[Replica]) -> None:
    answer = replicas[0].get("/device")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fdevice"
    for replica in replicas:
        assert "Org or e-mail address" in replica.get("/login?next=%2Fdevice").text


async def test_key_made_by_the_platform_api_is_taken_by_the_other_replica_until_revoked(
    replicas: list[Replica], database: Database
) -> None:
    first, second = replicas
    _, owner_key = await make_key(database)
    bound = NewBinding(
        kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(owner_key.key.account), role=OWNER
    )
    await Roles(database, SystemClock()).bind(OPERATOR, bound)
    owner = first.token(owner_key).json()["access_token"]

    account = manage(first, owner, "ServiceAccountService/CreateServiceAccount", name="ci").json()
    account_id = account["serviceAccount"]["id"]
    principal = {"serviceAccountId": account_id}
    manage(
        first, owner, "RoleBindingService/CreateRoleBinding", principal=principal, role=VIEWER
    ).raise_for_status()
    made = manage(first, owner, "ApiKeyService/CreateApiKey", serviceAccountId=account_id).json()
    encoded = base64.b64decode(made["secret"]["apiKey"]).decode()
    host, client_id, secret, org = encoded.split(":")
    token = second.exchange(client_id, secret).json()["access_token"]
    assert (host, org) == ("localhost", ORG)
    assert manage(second, token, "OrgService/GetOrg").json()["org"]["name"] == ORG
    assert manage(second, token, "OrgService/UpdateOrg").status_code == 403

    key_id = made["apiKey"]["id"]
    manage(second, owner, "ApiKeyService/RevokeApiKey", id=key_id).raise_for_status()
    for replica in replicas:
        await until(partial(_is_refused, replica, token), "the token is refused")
    assert first.get("/openapi/platform.v1.json").json()["openapi"] == "3.1.0"
