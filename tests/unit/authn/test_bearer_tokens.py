"""Bearer tokens: which headers count, whose grants they carry, and when they are refused."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.bearer_tokens import BearerTokens
from controlplane.authn.caller_cache import REMEMBERED, CallerCache
from controlplane.authn.revocations import STALE_AFTER, Revocations
from controlplane.authn.signing_keys import TokenKeySet, make_key
from controlplane.core.callers import Caller, Credential, Permission, Subject, org_wide
from controlplane.core.credentials import Revocation
from controlplane.core.errors import UnauthenticatedError, UnavailableError
from shared.model.ids import OrgName
from tests.fakes.clock import FakeClock

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORG, ADA = OrgName("acme"), Subject("user:ada")
LOGIN = Credential("login", "f1")


class Members:
    """Members of an org whose grants a test changes."""

    def __init__(self) -> None:
        self.grants: dict[tuple[OrgName, Subject], list[Permission]] = {
            (ORG, ADA): [Permission.RUN_READ]
        }
        self.reads = 0
        self.before_answer: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)

    async def resolve(self, org: OrgName, subject: Subject) -> Caller:
        self.reads += 1
        grants = self.grants.get((org, subject))
        await self.before_answer()
        if grants is None:
            raise UnauthenticatedError(f"{subject} is no member of org {org}")
        return Caller(subject=subject, org=org, name="Ada", grants=org_wide(grants))


class Service:
    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.members = Members()
        self.revocations = Revocations(self.clock)
        self.revocations.add([], START)
        self.callers = CallerCache(self.members.resolve, self.clock)
        self.tokens = AccessTokens(
            TokenKeySet([make_key(START)]), self.clock, issuer="https://volary.example"
        )
        self.authn = BearerTokens(self.tokens, self.revocations, self.callers)

    def token(self, credential: Credential = LOGIN) -> str:
        issued = self.tokens.issue(subject=ADA, org=ORG, client_id="flyte", credential=credential)
        return f"Bearer {issued.reveal()}"

    async def call(self, token: str, header: str = "authorization") -> Caller:
        return await self.authn.authenticate({header: token}, None)

    def revoke(self, credential: Credential, org: OrgName = ORG) -> None:
        now = self.clock.now()
        revoked = Revocation(org, credential.kind, credential.id, now + timedelta(minutes=20))
        self.revocations.add([revoked], now)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.mark.parametrize("header", ["authorization", "flyte-authorization"])
async def test_token_is_accepted_in_either_header(service: Service, header: str) -> None:
    caller = await service.call(service.token(), header)
    assert (caller.subject, caller.org, caller.name) == (ADA, ORG, "Ada")
    assert caller.may(Permission.RUN_READ)
    assert caller.credential == Credential("login", "f1", START + timedelta(minutes=16))


async def test_scheme_of_a_token_may_be_in_any_case(service: Service) -> None:
    caller = await service.call(service.token().replace("Bearer", "bearer"))
    assert caller.subject == ADA


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "carries no credential"),
        ({"authorization": "Basic YTpi"}, "not of the form: Bearer"),
        ({"authorization": "Bearer"}, "not of the form: Bearer"),
        ({"authorization": "Bearer "}, "not of the form: Bearer"),
        ({"authorization": "Bearer x y"}, "not an access token"),
        ({"authorization": "Bearer é"}, "not an access token"),
        ({"flyte-authorization": ""}, "not of the form: Bearer"),
    ],
    ids=str,
)
async def test_call_without_a_token_is_refused_with_a_reason(
    service: Service, headers: dict[str, str], reason: str
) -> None:
    with pytest.raises(UnauthenticatedError, match=reason):
        await service.authn.authenticate(headers, None)


async def test_revoked_credential_is_refused_at_once(service: Service) -> None:
    token, other = service.token(), service.token(Credential("login", "f2"))
    await service.call(token)
    service.revoke(LOGIN)
    with pytest.raises(UnauthenticatedError, match="was revoked"):
        await service.call(token)
    await service.call(other)


async def test_revocation_in_another_org_or_of_another_kind_does_not_count(
    service: Service,
) -> None:
    service.revoke(LOGIN, OrgName("other"))
    service.revoke(Credential("api_key", LOGIN.id))
    await service.call(service.token())


async def test_credential_revoked_while_grants_are_read_is_refused(service: Service) -> None:
    async def revoke() -> None:
        service.revoke(LOGIN)

    service.members.before_answer = revoke
    with pytest.raises(UnauthenticatedError, match="was revoked"):
        await service.call(service.token())


async def test_credentials_are_not_accepted_when_revocations_cannot_be_read(
    service: Service,
) -> None:
    token = service.token()
    service.clock.advance(STALE_AFTER)
    await service.call(token)
    service.clock.advance(timedelta(seconds=1))
    with pytest.raises(UnavailableError, match="cannot read which credentials were revoked"):
        await service.call(token)


async def test_revocations_are_forgotten_when_they_expire(service: Service) -> None:
    service.revoke(LOGIN)
    service.clock.advance(timedelta(minutes=20))
    assert service.revocations.add([], service.clock.now()) == 0
    service.revocations.require_valid(ORG, LOGIN)


async def test_listener_gets_each_revocation_once(service: Service) -> None:
    received: list[str] = []
    with service.revocations.listening(lambda found: received.extend(each.id for each in found)):
        service.revoke(LOGIN)
        service.revoke(LOGIN)
        service.revoke(Credential("login", "f2"))
    service.revoke(Credential("login", "f3"))
    assert received == ["f1", "f2"]


async def test_grants_are_read_once_in_some_seconds(service: Service) -> None:
    token = service.token()
    for _ in range(3):
        await service.call(token)
    assert service.members.reads == 1
    service.clock.advance(REMEMBERED)
    await service.call(token)
    assert service.members.reads == 2


@pytest.mark.parametrize(
    ("org", "subjects"), [(ORG, [ADA]), (ORG, None), (None, None)], ids=["subject", "org", "all"]
)
async def test_removed_grant_takes_effect_with_its_notification(
    service: Service, org: OrgName | None, subjects: list[Subject] | None
) -> None:
    token = service.token()
    assert (await service.call(token)).may(Permission.RUN_READ)
    service.members.grants[ORG, ADA] = []
    service.callers.forget(OrgName("other"), None)
    service.callers.forget(ORG, [Subject("user:bob")])
    assert (await service.call(token)).may(Permission.RUN_READ)
    service.callers.forget(org, subjects)
    assert not (await service.call(token)).may(Permission.RUN_READ)


async def test_removed_member_is_refused(service: Service) -> None:
    token = service.token()
    del service.members.grants[ORG, ADA]
    with pytest.raises(UnauthenticatedError, match="no member"):
        await service.call(token)


async def test_concurrent_calls_of_a_subject_read_its_grants_once(service: Service) -> None:
    token = service.token()
    await asyncio.gather(*(service.call(token) for _ in range(10)))
    assert service.members.reads == 1


async def test_grants_that_change_while_they_are_read_are_not_remembered(
    service: Service,
) -> None:
    async def remove() -> None:
        service.members.before_answer = lambda: asyncio.sleep(0)
        service.members.grants[ORG, ADA] = []
        service.callers.forget(ORG, [ADA])

    token = service.token()
    service.members.before_answer = remove
    first, *others = await asyncio.gather(*(service.call(token) for _ in range(3)))
    assert first.may(Permission.RUN_READ)  # it was read before the change
    assert not any(other.may(Permission.RUN_READ) for other in others)


async def test_call_that_is_cancelled_leaves_reading_to_the_next(service: Service) -> None:
    hanging = asyncio.Event()

    async def hang() -> None:
        service.members.before_answer = lambda: asyncio.sleep(0)
        hanging.set()
        await asyncio.Event().wait()

    service.members.before_answer = hang
    token = service.token()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(service.call(token))
        await hanging.wait()
        second = tasks.create_task(service.call(token))
        await asyncio.sleep(0)
        first.cancel()
    assert second.result().may(Permission.RUN_READ)
