"""AttemptTokenService on the link port, and how an agent keeps and renews what it is given."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.signing_keys import TokenKeySet, make_key
from controlplane.store.dispatch import dispatches
from controlplane.usecases.running_attempts import MAX_EXCHANGED, AttemptTokens as Exchange
from dataplane.agent.core.attempt_tokens import AttemptNotRunningError, TokenUnavailableError
from dataplane.agent.link.attempt_tokens import AttemptTokens
from dataplane.agent.link.channel import Token
from shared.idl.agent.v1 import attempt_tokens_pb2, attempt_tokens_pb2_grpc
from shared.model.assignments import Assignment
from shared.model.ids import LeaseId
from shared.wire.ids import render_lease
from tests.factories import NOW, ORG, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.link.conftest import TOKEN, LinkUnderTest
from tests.integration.store.conftest import CLUSTER


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def tokens(clock: FakeClock) -> AccessTokens:
    return AccessTokens(TokenKeySet([make_key(NOW)]), clock, issuer="https://volary.example")


@pytest.fixture
async def with_logins(link: LinkUnderTest, tokens: AccessTokens) -> LinkUnderTest:
    link.exchange._tokens = Exchange(link.store.database, tokens)
    return link


def agent(
    link: LinkUnderTest, home: Path, clock: FakeClock, *, token: str = TOKEN
) -> AttemptTokens:
    path = home / "token"
    path.write_text(token)
    return AttemptTokens([f"127.0.0.1:{link.port}"], Token(path), None, clock)


async def start(link: LinkUnderTest, *, accept: bool = True) -> Assignment:
    await link.store.create(make_new_run("r1"))
    [assignment] = await link.store.claim(cluster=CLUSTER)
    if accept:
        async with link.store.database.for_org(ORG) as tx:
            await dispatches.accept(tx, CLUSTER, [(assignment.attempt, assignment.lease)], NOW)
    return assignment


async def test_agent_gets_a_token_of_its_running_attempt_and_keeps_it_until_half_its_life(
    with_logins: LinkUnderTest, tokens: AccessTokens, clock: FakeClock, tmp_path: Path
) -> None:
    attempts = agent(with_logins, tmp_path, clock)
    assignment = await start(with_logins)
    first, same = await asyncio.gather(
        *(attempts.find(assignment.attempt, assignment.lease) for _ in range(2))
    )
    assert first is not None
    assert first is same
    assert tokens.verify(first.text).credential_id == str(assignment.lease)
    assert first.text.reveal() not in repr(first)

    clock.advance(timedelta(minutes=7))
    assert await attempts.find(assignment.attempt, assignment.lease) is first
    clock.advance(timedelta(minutes=1))
    renewed = await attempts.find(assignment.attempt, assignment.lease)
    assert renewed is not None
    assert renewed.expires_at > first.expires_at


async def test_agent_gets_no_token_before_it_has_accepted_the_lease(
    with_logins: LinkUnderTest, clock: FakeClock, tmp_path: Path
) -> None:
    assignment = await start(with_logins, accept=False)
    attempts = agent(with_logins, tmp_path, clock)
    with pytest.raises(AttemptNotRunningError):
        await attempts.find(assignment.attempt, assignment.lease)


async def test_agent_gets_no_token_for_a_lease_that_it_does_not_hold(
    with_logins: LinkUnderTest, clock: FakeClock, tmp_path: Path
) -> None:
    assignment = await start(with_logins)
    strange = replace(assignment, lease=LeaseId(assignment.attempt.action))
    attempts = agent(with_logins, tmp_path, clock)
    with pytest.raises(AttemptNotRunningError):
        await attempts.find(strange.attempt, strange.lease)


async def test_agent_with_a_wrong_credential_gets_no_token(
    with_logins: LinkUnderTest, clock: FakeClock, tmp_path: Path
) -> None:
    assignment = await start(with_logins)
    attempts = agent(with_logins, tmp_path, clock, token="another")  # noqa: S106
    with pytest.raises(TokenUnavailableError, match="unauthenticated"):
        await attempts.find(assignment.attempt, assignment.lease)


async def test_agent_uses_a_token_until_it_expires_while_the_control_plane_is_away(
    with_logins: LinkUnderTest, clock: FakeClock, tmp_path: Path
) -> None:
    attempts = agent(with_logins, tmp_path, clock)
    assignment = await start(with_logins)
    first = await attempts.find(assignment.attempt, assignment.lease)
    (tmp_path / "token").write_text("withdrawn")

    clock.advance(timedelta(minutes=14))
    assert await attempts.find(assignment.attempt, assignment.lease) is first
    clock.advance(timedelta(minutes=1))
    with pytest.raises(TokenUnavailableError):
        await attempts.find(assignment.attempt, assignment.lease)


async def test_control_plane_without_logins_needs_no_tokens(
    link: LinkUnderTest, clock: FakeClock, tmp_path: Path
) -> None:
    assignment = await start(link)
    attempts = agent(link, tmp_path, clock)
    assert await attempts.find(assignment.attempt, assignment.lease) is None

    (tmp_path / "token").write_text("withdrawn")  # it does not ask again for a minute
    assert await attempts.find(assignment.attempt, assignment.lease) is None
    clock.advance(timedelta(minutes=1))
    with pytest.raises(TokenUnavailableError):
        await attempts.find(assignment.attempt, assignment.lease)


async def test_exchange_of_too_many_leases_is_refused(
    with_logins: LinkUnderTest, tmp_path: Path
) -> None:
    assignment = await start(with_logins)
    lease = render_lease(assignment.attempt, assignment.lease)
    path = tmp_path / "token"
    path.write_text(TOKEN)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{with_logins.port}") as channel:
        stub = attempt_tokens_pb2_grpc.AttemptTokenServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Exchange(
                attempt_tokens_pb2.ExchangeRequest(leases=[lease] * (MAX_EXCHANGED + 1)),
                metadata=Token(path).metadata(),
                timeout=60,
            )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
