"""
Reads active people's groups again at their org's providers, so that removals take effect.

A person whom the provider does not know any more is logged out everywhere. While a provider does
not answer, groups count for an hour; without a refresh token they cannot be read again, and count for
minutes.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from controlplane.authn.oidc.client import OidcClient
from controlplane.authn.sealing import Sealer, SealError
from controlplane.core.callers import Subject
from controlplane.core.errors import NotFoundError
from controlplane.core.identity import User, UserId, subject_of_user
from controlplane.core.identity_providers import (
    ACTIVE,
    GROUPS_CHECKED_EVERY,
    GROUPS_VALID,
    GROUPS_VALID_UNCHECKED,
    Provider,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from controlplane.core.oauth import Login
from controlplane.store.database import Database
from controlplane.store.identity import browser_sessions, provider_logins as store
from controlplane.store.identity.provider_logins import ProviderLogin
from controlplane.usecases.identity.browser_logins import purpose_of_token
from controlplane.usecases.identity.providers import IdentityProviders
from controlplane.usecases.identity.users import Users
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_PAGE = 50
_AT_ONCE = 10
_LOGIN_ENDED = "the identity provider has ended the login"


class GroupChecks:
    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        clock: Clock,
        *,
        client: OidcClient,
        providers: IdentityProviders,
        users: Users,
        families: TokenFamilies,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._client = client
        self._providers = providers
        self._users = users
        self._families = families

    async def check_user(self, user: UserId) -> bool:
        """
        Read the groups of one person again if that is due: they come back after a pause.

        Return whether it was.
        """
        now = self._clock.now()
        async with self._database.for_fleet("claim checks of a person's groups") as tx:
            due = await store.claim_of_user(
                tx, user, checked_before=now - GROUPS_VALID_UNCHECKED, now=now
            )
        await self._check(due, set())
        return bool(due)

    async def run_once(self) -> int:
        """Read the groups of all active people again where it is due; return of how many."""
        checked, down = 0, set[UUID]()
        while True:
            now = self._clock.now()
            async with self._database.for_fleet("claim checks of groups") as tx:
                due = await store.claim_active(
                    tx,
                    checked_before=now - GROUPS_CHECKED_EVERY,
                    seen_after=now - ACTIVE,
                    most=_PAGE,
                    now=now,
                )
            await self._check(due, down)
            checked += len(due)
            if len(due) < _PAGE:
                return checked

    async def _check(self, due: Iterable[ProviderLogin], down: set[UUID]) -> None:
        """``down``: providers that did not answer in this pass; they are not asked again."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def check(login: ProviderLogin) -> None:
            async with slots:
                await self._check_one(login, down)

        async with asyncio.TaskGroup() as group:
            for login in due:
                group.create_task(check(login))

    async def _check_one(self, login: ProviderLogin, down: set[UUID]) -> None:
        user = await self._users.find(login.user)
        if user is None:
            return
        try:
            provider = await self._providers.find(login.org, login.provider)
        except NotFoundError:
            await self._end(login, user)
            return
        if login.refresh_token is None:
            await self._expire(login, user, GROUPS_VALID_UNCHECKED)
            return
        purpose = purpose_of_token(user, login.provider)
        try:
            token = SecretText(self._sealer.open(login.refresh_token, purpose).reveal().decode())
        except SealError as error:
            why = str(error)
            log.warning("refresh token not readable", extra={"org": login.org, "why": why})
            await self._expire(login, user, GROUPS_VALID)
            return
        await self._refresh(login, user, provider, token, down)

    async def _refresh(
        self,
        login: ProviderLogin,
        user: User,
        provider: Provider,
        token: SecretText,
        down: set[UUID],
    ) -> None:
        if login.provider in down:
            await self._expire(login, user, GROUPS_VALID)
            return
        try:
            found = await self._client.refresh(provider, token, login.subject)
        except ProviderRefusedError as error:
            log.info("login ended", extra={"user": str(user.id), "why": str(error)})
            await self._end(login, user)
            return
        except ProviderUnavailableError as error:
            log.warning(
                "groups not read",
                extra={"org": login.org, "issuer": provider.settings.issuer, "why": str(error)},
            )
            down.add(login.provider)
            await self._expire(login, user, GROUPS_VALID)
            return
        # The token first: many providers accept the one before no more.
        successor = found.refresh_token or token
        sealed = self._sealer.seal(
            SecretBytes(successor.reveal().encode()), purpose_of_token(user, login.provider)
        )
        async with self._database.for_fleet("confirm a login at a provider") as tx:
            await store.confirm(tx, user.id, login.provider, sealed, self._clock.now())
        await self._users.save_groups(login.org, user, found.identity.groups, join=False)

    async def _expire(self, login: ProviderLogin, user: User, after: timedelta) -> None:
        """Forget the groups if the provider confirmed them too long ago."""
        if self._clock.now() - login.confirmed_at >= after:
            await self._users.save_groups(login.org, user, [], join=False)

    async def _end(self, login: ProviderLogin, user: User) -> None:
        """Log the person out everywhere: groups, browser sessions, logins of programs."""
        await self._users.save_groups(login.org, user, [], join=False)
        async with self._database.for_fleet("end a login at a provider") as tx:
            await browser_sessions.end_sessions_at(tx, user.id, login.provider, self._clock.now())
        await self._revoke(login.org, subject_of_user(user.id))
        # Last: if this process dies before, the next check ends the rest.
        async with self._database.for_fleet("forget a login at a provider") as tx:
            await store.delete_login(tx, user.id, login.provider)

    async def _revoke(self, org: OrgName, subject: Subject) -> None:
        for live in await self._families.list_live(Login(org, subject)):
            await self._families.revoke(live.family.id, _LOGIN_ENDED)
