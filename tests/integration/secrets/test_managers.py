"""Secrets that the agent reads from managers outside of Volary, through their real clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.secret_managers.reader import SecretReader
from shared.model.ids import OrgName
from shared.model.secrets import MAX_VALUE_BYTES, SecretName, list_candidates
from tests.kube.certificates import Authority
from tests.servers import secret_managers
from tests.servers.secret_managers import Double, ManagerForTest, Moto

KEY = SecretName(org=OrgName("acme"), project="shop", domain="production", name="Api-Key")
PROJECT, DOMAIN, ORG = list_candidates(KEY)


DOUBLES = ["azure", "gcp", "vault"]
needs_double = pytest.mark.parametrize("server", DOUBLES, indirect=True)
"""For what moto cannot be made to do: it has no policies, and fails at no command."""


@pytest.fixture(params=["aws", *DOUBLES])
async def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ManagerForTest]:
    authority = Authority(tmp_path / "ca")
    credentials = tmp_path / "gcp.json"
    secret_managers.write_gcp_credentials(credentials)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    async with AsyncExitStack() as stack:
        match request.param:
            case "aws":
                yield await stack.enter_async_context(secret_managers.aws())
            case "azure":
                yield await stack.enter_async_context(secret_managers.azure(authority))
            case "gcp":
                yield await stack.enter_async_context(secret_managers.gcp())
            case _:
                yield await stack.enter_async_context(secret_managers.vault(tmp_path))


@pytest.fixture
async def reader(server: ManagerForTest) -> AsyncIterator[SecretReader]:
    async with asyncio.TaskGroup() as tasks:
        reader = SecretReader(server.manager)
        running = tasks.create_task(reader.run())
        yield reader
        running.cancel()


async def put(server: ManagerForTest, name: SecretName, value: str) -> None:
    await asyncio.to_thread(server.put, server.manager.id_of(name), value)


async def find(reader: SecretReader, name: SecretName = KEY) -> bytes | None:
    found = await reader.find([name])
    return found[name.name].reveal() if name.name in found else None


async def test_narrowest_scope_that_has_the_secret_wins(
    server: ManagerForTest, reader: SecretReader
) -> None:
    assert await find(reader) is None
    for scope, value in ((ORG, "the org's"), (DOMAIN, "the domain's"), (PROJECT, "the project's")):
        await put(server, scope, value)
        assert await find(reader) == value.encode()


async def test_secret_of_another_project_domain_or_org_is_not_found(
    server: ManagerForTest, reader: SecretReader
) -> None:
    for other in (
        replace(KEY, project="other"),
        replace(KEY, domain="staging"),
        replace(KEY, org=OrgName("globex")),
        replace(ORG, org=OrgName("globex")),
    ):
        await put(server, other, "not yours")
    assert await find(reader) is None


async def test_new_version_is_read_by_the_next_attempt(
    server: ManagerForTest, reader: SecretReader
) -> None:
    for value in ("first", "second"):
        await put(server, PROJECT, value)
        assert await find(reader) == value.encode()


async def test_thousand_attempts_at_once_cost_a_few_calls(
    server: ManagerForTest, reader: SecretReader
) -> None:
    await put(server, PROJECT, "value")
    before = server.count_calls()
    async with asyncio.TaskGroup() as tasks:
        finds = [tasks.create_task(find(reader)) for _ in range(1000)]
    assert {each.result() for each in finds} == {b"value"}
    assert server.count_calls() - before <= 3 * 2, "one of the first, one of all others"


@needs_double
async def test_denied_secret_is_named_with_what_the_agent_needs(
    server: Double, reader: SecretReader
) -> None:
    await put(server, PROJECT, "value")
    server.denied.add(server.manager.id_of(PROJECT))
    with pytest.raises(SecretsRefusedError) as error:
        await find(reader)
    assert server.manager.id_of(PROJECT) in str(error.value)


@needs_double
async def test_denial_of_one_secret_leaves_the_others_of_a_call(
    server: Double, reader: SecretReader
) -> None:
    other = replace(KEY, project="other")
    await put(server, other, "theirs")
    server.denied.add(server.manager.id_of(PROJECT))
    async with asyncio.TaskGroup() as tasks:
        denied = tasks.create_task(_refusal(reader))
        found = tasks.create_task(find(reader, other))
    assert denied.result()
    assert found.result() == b"theirs"


async def _refusal(reader: SecretReader) -> str:
    with pytest.raises(SecretsRefusedError) as error:
        await find(reader)
    return str(error.value)


@needs_double
async def test_value_larger_than_a_secret_may_be_is_refused(
    server: Double, reader: SecretReader
) -> None:
    await put(server, PROJECT, "x" * (MAX_VALUE_BYTES + 1))
    assert f"has {MAX_VALUE_BYTES + 1} bytes" in await _refusal(reader)


@needs_double
async def test_manager_that_fails_may_be_asked_again(server: Double, reader: SecretReader) -> None:
    await put(server, PROJECT, "value")
    server.status = 503
    with pytest.raises(SecretsUnavailableError) as error:
        await find(reader)
    assert "cannot be read now; see the agent's log" in str(error.value)
    # The failed call may have been for tasks of other projects, too.
    assert server.manager.id_of(PROJECT) not in str(error.value)
    server.status = 0
    assert await find(reader) == b"value"


@pytest.mark.parametrize("server", ["aws"], indirect=True)
async def test_aws_secret_may_be_binary_or_waiting_for_its_deletion(
    server: Moto, reader: SecretReader
) -> None:
    secret_id = server.manager.id_of(PROJECT)
    await asyncio.to_thread(
        server.client.create_secret, Name=secret_id, SecretBinary=b"\0\xff binary"
    )
    assert await find(reader) == b"\0\xff binary"
    await asyncio.to_thread(server.client.delete_secret, SecretId=secret_id, RecoveryWindowInDays=7)
    assert await find(reader) is None
