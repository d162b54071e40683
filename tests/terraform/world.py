"""A control plane with logins behind TLS, orgs with API keys, and Terraform with the provider."""

import asyncio
import base64
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from google.protobuf import json_format

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity import NewBinding, PrincipalKind
from controlplane.core.roles import OWNER
from controlplane.store.database import open_database
from controlplane.store.identity import members
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.roles import Roles
from controlplane.usecases.identity.users import Users
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.api.client import DOMAIN, PROJECT
from tests.integration.api.requests import task_spec
from tests.integration.api.triggers import cron
from tests.system.tenants.world import Installation
from tests.terraform.cli import Terraform

HEADER = 'terraform {\n  required_providers { volary = { source = "volary/volary" } }\n}\n'
_HANG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Org:
    """An org with an owner's API key, and a directory for Terraform."""

    installation: Installation
    name: str
    api_key: str = field(repr=False)
    terraform: Terraform

    def call(self, rpc: str, **request: Any) -> Any:
        """Call an RPC of the platform API, or one that is named in full."""
        answer = self.post(rpc, request)
        assert answer.is_success, f"{rpc}: {answer.text}"
        return answer.json()

    def post(self, rpc: str, request: Mapping[str, Any]) -> httpx.Response:
        full = rpc if "." in rpc else f"volary.platform.v1.{rpc}"
        trust = ssl.create_default_context(cafile=str(self.installation.authority))
        _, client, secret, _ = base64.b64decode(self.api_key).decode().split(":")
        with httpx.Client(base_url=self.installation.url, verify=trust) as http:
            granted = http.post(
                "/oauth2/token",
                data={"grant_type": "client_credentials"},
                auth=httpx.BasicAuth(client, secret),
            )
            token = granted.raise_for_status().json()["access_token"]
            return http.post(f"/{full}", json=request, headers={"authorization": f"Bearer {token}"})

    def apply(self, content: str) -> str:
        """Write the configuration and apply it."""
        self.write(content)
        return self.terraform.apply()

    def write(self, content: str) -> None:
        self.terraform.write(HEADER + content)

    def join(self, email: str, role: str) -> str:
        """Make a person a member, as a login would; return the id of the user."""
        return asyncio.run(_join(self.installation, OrgName(self.name), email, role))

    def deploy_trigger(self, name: str) -> None:
        """Deploy a task with an hourly trigger that is not active."""
        spec = json_format.MessageToDict(task_spec("env.main"))
        at = {"org": self.name, "project": PROJECT, "domain": DOMAIN}
        task = {**at, "name": "env.main", "version": "v1"}
        self.call("flyteidl2.task.TaskService/DeployTask", taskId=task, spec=spec)
        self.call(
            "flyteidl2.trigger.TriggerService/DeployTrigger",
            name={**at, "taskName": "env.main", "name": name},
            spec={"taskVersion": "v1", "active": False},
            automationSpec=json_format.MessageToDict(cron("0 * * * *")),
        )

    def wait_until(self, fact: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + _HANG_SECONDS
        while not fact():
            assert time.monotonic() < until, f"{what}: not in time"
            time.sleep(0.1)

    def resource(self, address: str) -> dict[str, Any]:
        return self.terraform.resources()[address]


def make_org(installation: Installation, terraform: Terraform, home: Path) -> Org:
    """Create an org with an owner's key, as an operator does."""
    name = f"org-{secrets.token_hex(4)}"
    key = asyncio.run(_make_key(installation, OrgName(name), OWNER))
    environment = {
        "VOLARY_API_KEY": key,
        "VOLARY_URL": installation.url,
        "VOLARY_CA_FILE": str(installation.authority),
        **terraform.environment,
    }
    org = Org(installation, name, key, Terraform(terraform.command, home, environment))
    org.call(
        "flyteidl2.project.ProjectService/CreateProject", project={"id": PROJECT, "name": PROJECT}
    )
    return org


async def _join(installation: Installation, org: OrgName, email: str, role: str) -> str:
    database, clock = open_database(installation.database.url), SystemClock()
    try:
        user = await Users(database, clock).log_in(
            "https://provider", email, email=email, email_verified=True, name=email
        )
        async with database.for_org(org) as tx:
            await members.add_member(tx, user, role, source="test", now=clock.now())
    finally:
        await database.close()
    return user.subject.partition(":")[2]


async def _make_key(installation: Installation, org: OrgName, role: str) -> str:
    database, clock = open_database(installation.database.url), SystemClock()
    operator = Caller(
        subject=Subject("operator:test"), org=org, name="", grants=org_wide(EVERYTHING)
    )
    try:
        await Invitations(database, clock).create_owner_link(operator)  # creates the org
        accounts = ServiceAccounts(database, clock)
        account = await accounts.create(operator, "terraform")
        await Roles(database, clock).bind(
            operator,
            NewBinding(kind=PrincipalKind.SERVICE_ACCOUNT, principal=str(account.id), role=role),
        )
        created = await accounts.create_key(operator, account.id, "terraform")
    finally:
        await database.close()
    assert created.secret is not None
    host = installation.host.partition(":")[0]  # the SDK's form has no port
    parts = (host, created.key.client_id, created.secret.reveal(), org)
    return base64.b64encode(":".join(parts).encode()).decode()
