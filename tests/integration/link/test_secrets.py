"""SecretsService on the link port: what an agent is given, and what it is refused."""

from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.secrets import SecretType
from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.link.channel import Token
from dataplane.agent.link.secrets import SecretsClient
from shared.idl.agent.v1 import link_pb2
from shared.kit.secrets import SecretBytes
from shared.model.assignments import Assignment
from shared.model.ids import LeaseId
from shared.model.secrets import SecretName
from shared.secrets.envelopes import KeyringEnvelopes
from shared.secrets.key_pairs import make_private_key
from tests.factories import ORG, make_new_run
from tests.integration.link.conftest import TOKEN, LinkUnderTest, calling
from tests.integration.store.conftest import CLUSTER

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))
NAME = SecretName(org=ORG, name="token")


async def lease(link: LinkUnderTest) -> Assignment:
    await link.store.create(make_new_run("r1"))
    [assignment] = await link.store.claim(cluster=CLUSTER)
    return assignment


def client(link: LinkUnderTest, tmp_path: Any, token: str = TOKEN) -> SecretsClient:
    path = tmp_path / "token"
    path.write_text(token)
    return SecretsClient([f"127.0.0.1:{link.port}"], Token(path), None)


async def announced_key(link: LinkUnderTest, key: bytes) -> bytes:
    """Open a session that announces ``key``; return the key that the store has."""
    async with calling(link) as agent:
        await agent.say(
            hello=link_pb2.Hello(
                agent_id="a", instance_id="i", protocol_min=1, protocol_max=1, secrets_key=key
            )
        )
        await agent.hear("welcome")
        async with link.store.database.for_org(ORG) as tx:
            rows = await tx.rows(
                text("SELECT secrets_key FROM clusters WHERE org = :org AND cluster = :cluster"),
                {"cluster": CLUSTER},
            )
        return bytes(rows[0].secrets_key)


async def test_agent_opens_the_secret_that_it_fetched(link: LinkUnderTest, tmp_path: Any) -> None:
    pair = make_private_key()
    await announced_key(link, pair.public.der)
    assignment = await lease(link)
    await link.secrets.create(CALLER, NAME, SecretType.GENERIC, SecretBytes(b"value"))

    fetched = await client(link, tmp_path).fetch(assignment, ["token", "none"], image_pull=True)

    sealed = fetched.by_name["token"]
    assert sealed.name == NAME
    value = await KeyringEnvelopes(openers=[pair]).open(NAME, sealed.envelope)
    assert value == SecretBytes(b"value")
    assert fetched.by_name["none"].name is None
    assert fetched.image_pull == []


@pytest.mark.parametrize("key", [b"x" * 91, b"x" * 100_000])
async def test_announced_key_that_is_no_key_is_not_stored(link: LinkUnderTest, key: bytes) -> None:
    assert await announced_key(link, key) == b""


async def test_agent_of_an_earlier_release_announces_no_key(link: LinkUnderTest) -> None:
    assert await announced_key(link, b"") == b""


async def test_fetch_for_another_lease_is_refused(link: LinkUnderTest, tmp_path: Any) -> None:
    assignment = await lease(link)
    strange = replace(assignment, lease=LeaseId(assignment.attempt.action))

    with pytest.raises(SecretsRefusedError):
        await client(link, tmp_path).fetch(strange, ["token"])


async def test_fetch_of_too_many_secrets_is_refused(link: LinkUnderTest, tmp_path: Any) -> None:
    assignment = await lease(link)

    with pytest.raises(SecretsRefusedError, match="at most 100"):
        await client(link, tmp_path).fetch(assignment, [f"s{number}" for number in range(101)])


async def test_fetch_with_a_wrong_token_is_unavailable(link: LinkUnderTest, tmp_path: Any) -> None:
    assignment = await lease(link)

    with pytest.raises(SecretsUnavailableError, match="unauthenticated"):
        await client(link, tmp_path, "x" * 30).fetch(assignment, ["token"])


@pytest.mark.parametrize("raw", [b"", b"\xff\xff\xff", b"\x0a\x02\x0a\x00"])
async def test_garbage_is_refused_without_a_traceback(
    link: LinkUnderTest, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}") as channel:
        fetch: Any = channel.unary_unary("/volary.agent.v1.SecretsService/Fetch")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await fetch(raw, metadata=(("authorization", f"Bearer {TOKEN}"),))

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [each for each in caplog.records if each.exc_info]
