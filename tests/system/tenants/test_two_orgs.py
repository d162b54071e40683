"""
Two orgs on one control plane behind TLS: people, keys, agents and runs of each, and the wall.

Each person logs in at a real provider in a real browser. From there on everything is done as users
do it: with ``volary``, with the unmodified ``flyte``, and with agents that get a join token.
"""

import asyncio
import base64
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from controlplane.api.permissions import PERMISSIONS, Access
from tests.browsers import Person, chromium, person_at
from tests.servers.postgres import PostgresForTests
from tests.system.tenants import world
from tests.system.tenants.world import (
    DOMAIN,
    FLYTE,
    PROJECT,
    WORKFLOW,
    Installation,
    OpenedAddresses,
    Tenant,
    allow,
    finish,
    log_in,
    run_name,
)

PEOPLE = {"acme": "ada", "globex": "grace"}


@dataclass(frozen=True, slots=True)
class Two:
    installation: Installation
    tenants: Sequence[Tenant]


@pytest.fixture(scope="module")
def two(
    postgres_server: PostgresForTests, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Two]:
    home = tmp_path_factory.mktemp("two-orgs")
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server.migrated())
        installation = stack.enter_context(world.running(home, database))
        tenants = stack.enter_context(world.tenants(installation, PEOPLE))
        for tenant in tenants:
            join_token = asyncio.run(_settle(installation, tenant, home))
            stack.enter_context(installation.agent(tenant, f"{tenant.org}-cluster", join_token))
        yield Two(installation, tenants)


async def _settle(installation: Installation, tenant: Tenant, home: Path) -> str:
    """Have the person log in, make a key and a cluster; return the cluster's join token."""
    async with chromium() as browser, person_at(browser, home) as person:
        await log_in(person, installation, tenant)
        opened = OpenedAddresses(tenant.home)
        process = await installation.start(
            tenant,
            *world.VOLARY,
            *("login", installation.url, "--ca-file", str(installation.authority)),
            BROWSER=opened.variable,
        )
        await allow(person, await opened.next(process))
        await finish(process)

    async def volary(*arguments: str) -> Any:
        return json.loads(await installation.volary(tenant, *arguments, "--output", "json"))

    account = await volary("service-account", "create", f"{tenant.org}-builder")
    account_id = str(account["serviceAccount"]["id"])
    await volary("role", "bind", "admin", "--service-account", account_id)
    key = await volary("apikey", "create", account_id, "--name", f"{tenant.org}-key")
    tenant.api_key = str(key["secret"]["apiKey"])
    cluster = await installation.call(
        tenant,
        "volary.platform.v1.EnrolmentService/CreateCluster",
        {"name": f"{tenant.org}-cluster", "autoAccept": True},
    )
    tenant.secret = f"secret-of-{tenant.org}-{secrets.token_hex(8)}"
    project = await installation.call(
        tenant,
        "flyteidl2.project.ProjectService/CreateProject",
        {"project": {"id": PROJECT, "name": f"{tenant.org}-project"}},
    )
    assert project.is_success, project.text
    await installation.flyte(
        tenant,
        *("create", "secret", "My-Key", "--value", tenant.secret),
        *("--project", PROJECT, "--domain", DOMAIN),
    )
    tenant.markers |= {tenant.org, tenant.email, account_id, tenant.secret}
    return str(cluster.raise_for_status().json()["joinToken"])


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


def _digest(tenant: Tenant) -> str:
    return hashlib.sha256(tenant.secret.encode()).hexdigest()


async def _run_with_pkce(two: Two, tenant: Tenant, person: Person) -> str:
    opened = OpenedAddresses(tenant.home)
    config = two.installation.flyte_config(tenant, authType="Pkce")
    process = await two.installation.start(
        tenant,
        *(FLYTE, "--config", config, "run", WORKFLOW, "as_variables"),
        BROWSER=opened.variable,
    )
    await allow(person, await opened.next(process))
    return await finish(process, is_flyte=True)


async def _run_with_device_flow(two: Two, tenant: Tenant, person: Person) -> str:
    config = two.installation.flyte_config(tenant, authType="DeviceFlow")
    process = await two.installation.start(
        tenant, FLYTE, "--config", config, "run", WORKFLOW, "as_variables"
    )
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(world.WITHIN_SECONDS):
        while not (found := re.search(r"https://\S*user_code=[A-Z]{4}-[A-Z]{4}", shown)):
            chunk = await process.stdout.read(1000)
            assert chunk, shown
            shown += chunk.decode()
    await person.page.goto(found[0])
    await person.press("Continue")
    await person.press("Allow")
    return shown + await finish(process, is_flyte=True)


async def _run_with_key(two: Two, tenant: Tenant, _person: Person) -> str:
    return await two.installation.flyte(tenant, "run", WORKFLOW, "as_variables")


@pytest.mark.parametrize("way", [_run_with_pkce, _run_with_device_flow, _run_with_key])
@pytest.mark.parametrize("number", range(len(PEOPLE)), ids=PEOPLE)
async def test_each_org_runs_a_task_with_its_own_secret(
    two: Two, browser: Browser, tmp_path: Path, number: int, way: object
) -> None:
    tenant = two.tenants[number]
    async with person_at(browser, tmp_path) as person:
        await log_in(person, two.installation, tenant)
        run = run_name(await way(two, tenant, person))  # type: ignore[operator]
    tenant.markers.add(run)
    assert await two.installation.wait_for_output(tenant, run) == _digest(tenant)


def _list_rpcs() -> Sequence[str]:
    return [
        f"{service}/{method}"
        for service, methods in PERMISSIONS.items()
        for method, access in methods.items()
        if method.startswith("List") and access is not Access.UNBUILT
    ]


@pytest.mark.parametrize("number", range(len(PEOPLE)), ids=PEOPLE)
async def test_no_list_of_either_api_shows_anything_of_the_other_org(two: Two, number: int) -> None:
    tenant, other = two.tenants[number], two.tenants[1 - number]
    other.markers.add(run_name(await _run_with_key(two, other, None)))  # type: ignore[arg-type]
    answered = 0
    for org in (tenant.org, other.org):
        scope = {"organization": org, "name": PROJECT, "domain": DOMAIN}
        for rpc in _list_rpcs():
            for body in ({}, {"org": org}, {"request": {"limit": 100}, "projectId": scope}):
                answer = await two.installation.call(tenant, rpc, body)
                assert answer.status_code < 500 or answer.status_code == 501, answer.text
                answered += answer.is_success
                for marker in other.markers - {other.org}:
                    assert marker not in answer.text, rpc
    assert answered > len(_list_rpcs())


@pytest.mark.parametrize("number", range(len(PEOPLE)), ids=PEOPLE)
async def test_run_of_the_other_org_is_not_found(two: Two, number: int) -> None:
    tenant, other = two.tenants[number], two.tenants[1 - number]
    run = run_name(await _run_with_key(two, other, None))  # type: ignore[arg-type]
    where = {"org": other.org, "project": PROJECT, "domain": DOMAIN, "name": run}
    for method in ("GetRunDetails", "AbortRun"):
        answer = await two.installation.call(
            tenant, f"flyteidl2.workflow.RunService/{method}", {"runId": where}
        )
        assert answer.status_code == 404, answer.text
    assert await two.installation.wait_for_output(other, run) == _digest(other)


COMMANDS = [
    "whoami", "org show", "org list", "member list", "invitation list", "role list",
    "service-account list", "session list", "audit list", "cluster list", "pool list", "queue list",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_works_with_an_api_key_alone(two: Two, command: str) -> None:
    for tenant, other in (two.tenants, two.tenants[::-1]):
        shown = await two.installation.with_key(tenant, *command.split(), "--output", "json")
        json.loads(shown)
        assert not [marker for marker in other.markers if marker in shown]


@pytest.mark.parametrize("command", ["whoami", "get project", "get run", "get task", "get secret"])
async def test_every_command_of_flyte_works_with_an_api_key_alone(two: Two, command: str) -> None:
    for tenant, other in (two.tenants, two.tenants[::-1]):
        shown = await two.installation.flyte(tenant, *command.split())
        assert not [marker for marker in other.markers if marker in shown]


def test_keys_are_in_the_sdks_form_and_name_their_org(two: Two) -> None:
    for tenant in two.tenants:
        host, client, _, org = base64.b64decode(tenant.api_key).decode().split(":")
        assert (host, org) == ("localhost", tenant.org)
        assert client.startswith("ak-")
