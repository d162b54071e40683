"""Use cases, tokens and membership that the grants work on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc6749.errors import InvalidGrantError

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.caller_cache import ResolveCaller
from controlplane.authn.revocations import Revocations
from controlplane.core.callers import Credential
from controlplane.core.credentials import CredentialKind, CredentialOwner
from controlplane.core.errors import NotAllowedError, UnauthenticatedError
from controlplane.core.oauth import SCOPE, Login
from controlplane.oauth.clients import ApiKeys
from controlplane.oauth.greenlets import wait_for
from controlplane.usecases.authorization_codes import AuthorizationCodes
from controlplane.usecases.device_codes import DeviceCodes
from controlplane.usecases.token_families import Refreshed, TokenFamilies
from shared.kit.clock import Clock
from shared.model.ids import OrgName

Tokens = Mapping[str, Any]
Admits = Callable[[OrgName, OrgName], Awaitable[bool]]
"""Returns whether the first org admits people who logged in at a provider of the second."""
_OTHER_PROVIDER = "the org requires its own identity provider; log in again, with the org's login"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Use cases and settings of the authorization server; methods run in a greenlet."""

    public_url: str
    clock: Clock
    tokens: AccessTokens
    revocations: Revocations
    resolve: ResolveCaller
    admits: Admits
    codes: AuthorizationCodes
    devices: DeviceCodes
    families: TokenFamilies
    api_keys: ApiKeys

    def require_member(self, login: Login) -> Login:
        """
        Return ``login`` if the person is still a member of the org, which admits their provider.

        InvalidGrantError if not.
        """
        try:
            wait_for(self.resolve(login.org, login.subject))
        except UnauthenticatedError as error:
            raise InvalidGrantError(
                "the person who logged in is no member of the org any more"
            ) from error
        if not wait_for(self.admits(login.org, login.provider_org)):
            raise InvalidGrantError(_OTHER_PROVIDER)
        return login

    def start_family(self, family: UUID, login: Login, client_id: str, peer: str) -> Tokens:
        """Start a family, and answer with its first tokens."""
        try:
            started = wait_for(self.families.start(family, login, client_id, peer=peer))
        except NotAllowedError as error:
            raise InvalidGrantError(str(error)) from error
        return self.tokens_of(started)

    def tokens_of(self, refreshed: Refreshed) -> Tokens:
        """Answer with an access token and the refresh token; the SDK needs both every time."""
        family = refreshed.family
        owner = CredentialOwner(
            family.login.org,
            family.login.subject,
            Credential(CredentialKind.LOGIN, str(family.id), family.expires_at),
        )
        answer = self.access_token_of(owner, family.client_id)
        return {**answer, "refresh_token": refreshed.refresh_token.reveal()}

    def access_token_of(self, owner: CredentialOwner, client_id: str) -> Tokens:
        """Answer with an access token for a credential's owner."""
        token = self.tokens.issue(
            subject=owner.subject,
            org=owner.org,
            client_id=client_id,
            credential=owner.credential,
        )
        return {
            "access_token": token.reveal(),
            "token_type": "Bearer",
            "expires_in": self.tokens.lifetime_of(owner.credential),
            "scope": SCOPE,
        }
