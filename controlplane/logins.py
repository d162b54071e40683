"""
Builds and runs everything that logins need: tokens, the authorization server, its loops.

A part of ``main``, for the mode with logins.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry
from starlette.routing import Route

from controlplane.api.live_streams import LiveStreams
from controlplane.authn.authenticator import Authenticator
from controlplane.authn.bearer_tokens import BearerTokens
from controlplane.authn.login_settings import LoginSettings
from controlplane.feeds.feeds import Feeds
from controlplane.loops.expired_credentials import ExpiredCredentials
from controlplane.loops.key_rotation import KeyRotation
from controlplane.loops.login_revocations import LoginRevocationLoop
from controlplane.loops.periodic import run_periodically
from controlplane.loops.revocations import RevocationReader
from controlplane.oauth.factory import Authorization, make_authorization
from controlplane.oauth.people.calls import BrowserCalls
from controlplane.oauth.people.gate import PageGate
from controlplane.people import People, make_people
from controlplane.store.database import Database
from controlplane.usecases.authorization_codes import AuthorizationCodes
from controlplane.usecases.device_codes import DeviceCodes
from controlplane.usecases.identity.callers import ApiKeyChecks, Callers
from controlplane.usecases.identity.login_revocations import LoginRevocations
from controlplane.usecases.running_attempts import READ_EVERY, RunningAttempts
from controlplane.usecases.signing_keys import SigningKeys
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import Clock
from shared.kit.settings import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """The authorization server with its loops; ``prepare`` before ``run`` and before serving."""

    authorization: Authorization
    keys: KeyRotation
    revocations: RevocationReader
    unfinished: LoginRevocationLoop
    expired: ExpiredCredentials
    api_keys: ApiKeyChecks
    attempts: RunningAttempts
    api_authn: Authenticator  # tasks' tokens and the console's sessions too
    people: People
    feeds: Feeds
    clock: Clock

    @property
    def authn(self) -> BearerTokens:
        return self.authorization.authn

    @property
    def page_gate(self) -> PageGate:
        return self.people.make_page_gate(self.authn)

    @property
    def routes(self) -> Sequence[Route]:
        return [*self.authorization.routes, *self.people.routes]

    async def prepare(self) -> None:
        """
        Read the signing keys and revocations.

        UnfitDatabaseError: the sealing key does not open the signing keys.
        """
        await self.keys.run_once()
        await self.revocations.run_once()

    async def run(self, streams: LiveStreams) -> None:
        """Run the loops until cancelled; end ``streams`` whose credential or grants are gone."""
        save_uses = partial(
            run_periodically,
            "API key uses",
            self.api_keys.save_uses,
            every=timedelta(seconds=30),
            clock=self.clock,
        )
        read_attempts = partial(
            run_periodically,
            "running attempts",
            self.attempts.refresh,
            every=READ_EVERY,
            clock=self.clock,
        )
        self.attempts.listen(streams.end_revoked)
        with ExitStack() as listening:
            for each in (
                self.authorization.revocations.listening(streams.end_revoked),
                self.feeds.grants(self.authorization.callers.forget),
                self.feeds.grants(streams.end_changed),
            ):
                listening.enter_context(each)
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self.keys.run(), name="signing keys")
                loops.create_task(self.revocations.run(), name="revocations")
                loops.create_task(self.unfinished.run(), name="login revocations")
                loops.create_task(self.expired.run(), name="expired credentials")
                loops.create_task(save_uses(), name="API key uses")
                loops.create_task(read_attempts(), name="running attempts")
                loops.create_task(self.people.run(), name="group checks")


def make_logins(
    settings: LoginSettings,
    *,
    database: Database,
    loop_database: Database,
    feeds: Feeds,
    clock: Clock,
    public_url: str,
    metrics: CollectorRegistry,
) -> Logins:
    """Build the authorization server; SettingsError if the sealing keys cannot be read."""
    try:
        sealer = settings.make_sealer()
    except ValueError as error:
        raise SettingsError(str(error)) from error
    api_keys = ApiKeyChecks(database, clock)
    families = TokenFamilies(database, clock)
    people = make_people(
        settings,
        sealer,
        database=database,
        loop_database=loop_database,
        clock=clock,
        families=families,
        public_url=public_url,
        metrics=metrics,
    )
    authorization = make_authorization(
        clock,
        public_url=public_url,
        codes=AuthorizationCodes(database, clock),
        devices=DeviceCodes(database, sealer, clock),
        families=families,
        resolve=Callers(database),
        admits=people.admits,
        api_keys=api_keys,
        gate=people.gate,
        metrics=metrics,
    )
    keys = SigningKeys(
        loop_database,
        sealer,
        authorization.keys,
        clock,
        withdrawn=authorization.tokens.forget_verified,
    )
    attempts = RunningAttempts(database, clock)
    return Logins(
        authorization=authorization,
        attempts=attempts,
        api_authn=BrowserCalls(
            authorization.authn.with_attempts(attempts.find),
            people.gate,
            authorization.callers,
            authorization.revocations,
            clock,
        ),
        keys=KeyRotation("signing keys", keys, feeds, clock, every=timedelta(seconds=30)),
        revocations=RevocationReader(
            loop_database, authorization.revocations, feeds, clock, every=timedelta(seconds=1)
        ),
        unfinished=LoginRevocationLoop(
            LoginRevocations(loop_database, clock), clock, every=timedelta(seconds=5)
        ),
        expired=ExpiredCredentials(loop_database, clock, every=timedelta(minutes=10)),
        api_keys=api_keys,
        people=people,
        feeds=feeds,
        clock=clock,
    )
