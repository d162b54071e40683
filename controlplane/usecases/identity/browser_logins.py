"""
Use cases of logins in a browser: at an identity provider, and by an operator's one-time link.

A login that has begun is bound to its browser by a cookie, and ends once: its ``state`` is a row
that the answer deletes.
"""

import json
import logging
from dataclasses import dataclass
from uuid import UUID

from controlplane.authn.oidc.client import LoggedIn, OidcClient, Secrets
from controlplane.authn.sealing import Sealer
from controlplane.core.browser_sessions import (
    ATTEMPT_LIVES,
    MAX_ATTEMPTS_OF_PEER,
    BrowserSession,
)
from controlplane.core.errors import ExhaustedError, NotFoundError
from controlplane.core.identity import User
from controlplane.core.identity_providers import LoginError, Provider, ProviderRefusedError
from controlplane.store.database import Database
from controlplane.store.identity import browser_sessions as store, provider_logins, users
from controlplane.store.identity.browser_sessions import TakenAttempt
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.providers import IdentityProviders
from controlplane.usecases.identity.users import Users
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes, SecretText, digest_of, new_secret
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_PURPOSE = "login attempt"
LINK_ISSUER = "urn:volary:owner-link"
"""Issuer of the accounts of one-time links; no provider can have it, as it is no https URL."""


class StaleLoginError(LoginError):
    """The login has ended, took too long, or began in another browser; begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """A browser at an address, with the session that it has."""

    peer: str
    name: str
    session: SecretText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A login that has ended well: the new session, and where the browser goes."""

    session: SecretText
    return_to: str


class BrowserLogins:
    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        clock: Clock,
        *,
        client: OidcClient,
        providers: IdentityProviders,
        sessions: BrowserSessions,
        users: Users,
        invitations: Invitations,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._client = client
        self._providers = providers
        self._sessions = sessions
        self._users = users
        self._invitations = invitations

    async def begin(
        self, org: OrgName, provider_id: UUID, return_to: str, *, bound_to: SecretText, peer: str
    ) -> str:
        """
        Begin a login and return the address of the provider's page.

        ``bound_to``: the secret of the browser's cookie. NotFoundError (provider), LoginError,
        ExhaustedError (too many logins of one address).
        """
        provider = await self._providers.find(org, provider_id)
        secrets = Secrets(state=new_secret(), nonce=new_secret(), verifier=new_secret())
        url = await self._client.authorization_url(provider, secrets)
        now = self._clock.now()
        details = json.dumps([secrets.nonce.reveal(), secrets.verifier.reveal(), return_to])
        async with self._database.for_fleet("begin a login") as tx:
            if await store.count_attempts(tx, peer, now) >= MAX_ATTEMPTS_OF_PEER:
                raise ExhaustedError("many logins from your network are pending; wait some minutes")
            await store.insert_attempt(
                tx,
                TakenAttempt(
                    org=org,
                    provider=provider.id,
                    details=self._sealer.seal(SecretBytes(details.encode()), _PURPOSE),
                    expires_at=now + ATTEMPT_LIVES,
                ),
                digest=digest_of(secrets.state),
                browser_digest=digest_of(bound_to),
                peer=peer,
                now=now,
            )
        return url

    async def finish(
        self,
        *,
        state: SecretText,
        code: SecretText | None,
        issuer: str | None,
        bound_to: SecretText | None,
        browser: Browser,
    ) -> Ended:
        """
        End a login with the provider's answer, and start a session.

        ``code`` None: the provider refused. StaleLoginError, LoginError, UnavailableError.
        """
        attempt = await self._take(state, bound_to)
        opened = self._sealer.open(attempt.details, _PURPOSE).reveal()
        nonce, verifier, return_to = json.loads(opened)
        if code is None:
            raise ProviderRefusedError("the identity provider refused the login")
        try:
            provider = await self._providers.find(attempt.org, attempt.provider)
        except NotFoundError as error:
            raise StaleLoginError("the identity provider was removed or disabled") from error
        secrets = Secrets(state=state, nonce=SecretText(nonce), verifier=SecretText(verifier))
        found = await self._client.redeem(provider, code, secrets, issuer=issuer)
        user, org = await self._save(provider, found)
        session = await self._sessions.start(
            user,
            org=org,
            provider=provider.id,
            provider_org=provider.org,
            email_verified=found.identity.email_verified,
            peer=browser.peer,
            browser=browser.name,
            replaces=browser.session,
        )
        return Ended(session=session, return_to=return_to)

    async def open_owner_link(self, token: SecretText, browser: Browser, return_to: str) -> Ended:
        """
        Log in by an operator's one-time link, without a provider, as the account of such links.

        The account is the same for each link of an org, so its holder comes back with another link.
        NotFoundError: used, expired, or an invitation that is none of an operator's.
        """
        org = await self._invitations.find_org(token)
        await self._invitations.require_owner_link(org, token)
        user = await self._users.log_in(
            LINK_ISSUER, org, email="", email_verified=False, name=f"Owner of {org}"
        )
        await self._invitations.use_owner_link(user, org, token, peer=browser.peer)
        session = await self._sessions.start(
            user,
            org=org,
            provider=None,
            provider_org=org,
            peer=browser.peer,
            browser=browser.name,
            replaces=browser.session,
        )
        return Ended(session=session, return_to=return_to)

    async def logout_url(self, session: BrowserSession, return_to: str) -> str | None:
        """Return the provider's page to log out there too; None if it has none, or is down."""
        if session.provider is None:
            return None
        try:
            provider = await self._providers.find(session.provider_org, session.provider)
            return await self._client.logout_url(provider, return_to)
        except (LoginError, NotFoundError):
            return None

    async def _take(self, state: SecretText, bound_to: SecretText | None) -> TakenAttempt:
        attempt = None
        if bound_to is not None:
            async with self._database.for_fleet("end a login") as tx:
                attempt = await store.take_attempt(tx, digest_of(state), digest_of(bound_to))
        if attempt is None or attempt.expires_at <= self._clock.now():
            raise StaleLoginError(
                "this login has ended, took too long, or was begun in another browser"
            )
        return attempt

    async def _save(self, provider: Provider, found: LoggedIn) -> tuple[User, OrgName]:
        """Save the person and their groups; return them, and the org to begin in."""
        identity = found.identity
        user = await self._users.log_in(
            identity.issuer,
            identity.subject,
            email=identity.email,
            # What an org's own provider says of addresses is believed in that org only.
            email_verified=identity.email_verified and provider.is_installation,
            name=identity.name,
        )
        org = OrgName("")
        if not provider.is_installation:
            joins, role = provider.joins(identity), provider.settings.role
            groups = identity.groups
            if await self._users.save_groups(provider.org, user, groups, join=joins, role=role):
                org = provider.org
            token = found.refresh_token
            sealed = None
            if token is not None:
                purpose = purpose_of_token(user, provider.id)
                sealed = self._sealer.seal(SecretBytes(token.reveal().encode()), purpose)
            elif provider.settings.groups_claim:
                log.warning(
                    "provider gave no refresh token: groups end in minutes",
                    extra={"org": provider.org, "issuer": identity.issuer},
                )
            now = self._clock.now()
            async with self._database.for_fleet("save a login at a provider") as tx:
                await provider_logins.save_login(
                    tx, user.id, provider.id, provider.org, token=sealed, now=now
                )
        if not org:
            async with self._database.for_fleet("find the only org of a user") as tx:
                memberships = await users.list_memberships(tx, user.id, after="", most=2)
            if len(memberships) == 1:
                org = memberships[0].org
        return user, org


def purpose_of_token(user: User, provider: UUID) -> str:
    """Return what a refresh token is sealed for."""
    return f"refresh token of user {user.id} at identity provider {provider}"
