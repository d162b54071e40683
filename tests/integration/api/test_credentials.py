"""Calls and streams with access tokens: revocation, expiry and changes of grants end them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.auth.identity_pb2 import UserInfoRequest
from flyteidl2.workflow.run_service_pb2 import WatchRunsRequest

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.bearer_tokens import BearerTokens
from controlplane.authn.caller_cache import CallerCache
from controlplane.authn.revocations import Revocations
from controlplane.authn.signing_keys import TokenKeySet, make_key
from controlplane.core.callers import EVERYTHING, Caller, Credential, Subject, org_wide
from controlplane.core.credentials import LEEWAY, CredentialKind
from controlplane.feeds.feeds import Feeds
from controlplane.loops.revocations import RevocationReader
from controlplane.store.credentials.revocations import revoke
from controlplane.store.notify.changes import notify_grants
from controlplane.store.notify.notifications import listen
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.integration.api.client import ApiUnderTest, open_api
from tests.integration.api.requests import project_id, refusal
from tests.running import running

ADA = Subject("user:ada")


class Issuer(SystemClock):
    """The clock of the issuer, which may be behind."""

    behind = timedelta()

    def now(self) -> Any:
        return super().now() - self.behind


@dataclass(frozen=True, slots=True)
class Authenticated:
    """An API that wants access tokens, and an issuer of them."""

    api: ApiUnderTest
    tokens: AccessTokens
    issuer: Issuer
    permissions: set[Any]

    def headers(self, credential: str = "f1") -> dict[str, str]:
        token = self.tokens.issue(
            subject=ADA, org=ORG, client_id="flyte", credential=Credential("login", credential)
        )
        return {"authorization": f"Bearer {token.reveal()}"}

    async def watch(self, headers: dict[str, str]) -> Any:
        watched = self.api.runs.watch_runs(
            WatchRunsRequest(project_id=project_id()), headers=headers
        )
        await anext(watched)
        return watched


@pytest.fixture
async def authenticated(database_url: str, tmp_path: Path) -> AsyncIterator[Authenticated]:
    clock, issuer = SystemClock(), Issuer()
    keys = TokenKeySet([make_key(clock.now() - timedelta(hours=1))])
    url = "https://volary.example"
    permissions: set[Any] = set(EVERYTHING)

    async def resolve(org: OrgName, subject: Subject) -> Caller:
        return Caller(subject=subject, org=org, name="Ada", grants=org_wide(permissions))

    revocations, callers = Revocations(clock), CallerCache(resolve, clock)
    authn = BearerTokens(AccessTokens(keys, clock, issuer=url), revocations, callers)
    async with open_api(database_url, tmp_path / "blobs", authn=authn) as api:
        feeds = Feeds(api.database, partial(listen, database_url))
        reader = RevocationReader(api.database, revocations, feeds, clock, every=timedelta(hours=1))
        await reader.run_once()
        async with running(feeds, at_most=200), running(reader, at_most=200):
            with (
                revocations.listening(api.api.streams.end_revoked),
                feeds.grants(callers.forget),
                feeds.grants(api.api.streams.end_changed),
            ):
                tokens = AccessTokens(keys, issuer, issuer=url)
                yield Authenticated(api, tokens, issuer, permissions)


async def test_call_without_a_token_is_unauthenticated(authenticated: Authenticated) -> None:
    code, message = await refusal(authenticated.api.identity.user_info(UserInfoRequest()))
    assert code is Code.UNAUTHENTICATED
    assert "carries no credential" in message


@pytest.mark.parametrize("header", ["authorization", "flyte-authorization"])
async def test_call_with_a_token_is_its_subjects(authenticated: Authenticated, header: str) -> None:
    [token] = authenticated.headers().values()
    answer = await authenticated.api.identity.user_info(UserInfoRequest(), headers={header: token})
    assert answer.subject == ADA


async def test_stream_of_a_revoked_login_ends_and_its_token_is_refused(
    authenticated: Authenticated,
) -> None:
    revoked, other = authenticated.headers("f1"), authenticated.headers("f2")
    ended, kept = await authenticated.watch(revoked), await authenticated.watch(other)
    database = authenticated.api.database
    async with database.for_org(ORG) as tx:
        await revoke(tx, ORG, CredentialKind.LOGIN, "f1", SystemClock().now())
    async with asyncio.timeout(60):
        code, message = await refusal(anext(ended))
    assert code is Code.UNAUTHENTICATED
    assert "was revoked" in message
    code, _ = await refusal(
        authenticated.api.identity.user_info(UserInfoRequest(), headers=revoked)
    )
    assert code is Code.UNAUTHENTICATED
    await authenticated.api.identity.user_info(UserInfoRequest(), headers=other)
    await kept.aclose()


async def test_stream_ends_with_connect_again_when_its_token_expires(
    authenticated: Authenticated,
) -> None:
    authenticated.issuer.behind = timedelta(minutes=15) + LEEWAY - timedelta(seconds=6)
    headers = authenticated.headers()
    watched = await authenticated.watch(headers)
    async with asyncio.timeout(60):
        code, message = await refusal(anext(watched))
    assert code is Code.UNAVAILABLE
    assert "has expired; connect again" in message
    code, _ = await refusal(
        authenticated.api.identity.user_info(UserInfoRequest(), headers=headers)
    )
    assert code is Code.UNAUTHENTICATED


async def test_stream_of_a_person_whose_role_was_removed_is_not_opened_again(
    authenticated: Authenticated,
) -> None:
    headers = authenticated.headers()
    watched = await authenticated.watch(headers)
    authenticated.permissions.clear()
    async with authenticated.api.database.for_org(ORG) as tx:
        await notify_grants(tx, [ADA])
    async with asyncio.timeout(60):
        code, message = await refusal(anext(watched))
    assert code is Code.UNAVAILABLE
    assert "permissions have changed" in message
    code, message = await refusal(authenticated.watch(headers))
    assert code in {Code.PERMISSION_DENIED, Code.NOT_FOUND}
    assert "unauth" not in message.lower()
