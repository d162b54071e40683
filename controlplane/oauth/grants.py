"""
Authlib's grants with our state: codes, refresh tokens, API keys, device logins.

Authlib looks a credential up, issues tokens, and deletes the credential afterwards; of two
requests at once both would get tokens. So the look-up is the one statement that takes it.
"""

from collections.abc import Mapping
from typing import Any

from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    AuthorizationPendingError,
    DeviceCodeGrant as AuthlibDeviceCodeGrant,
    ExpiredTokenError,
    SlowDownError,
)

from controlplane.core.oauth import SCOPE, AuthorizationCode, Login, PolledDevice, family_of_code
from controlplane.oauth.greenlets import wait_for
from controlplane.oauth.state import State
from controlplane.usecases.token_families import Refreshed
from shared.kit.secrets import SecretText

_USED_CODE = "the code is unknown, has expired, or was used before; log in again"
_USED_TWICE = "a code was presented twice"
_INVALID_TOKEN = "the refresh token is unknown, has expired, or was revoked; log in again"  # noqa: S105

Token = Mapping[str, Any]


class RequiredCodeChallenge(CodeChallenge):
    """PKCE with S256 only, and in every request; Authlib would take one without a challenge."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError(
                "the request needs a code_challenge with code_challenge_method=S256"
            )
        super().validate_code_challenge(grant, redirect_uri)


class _TakenCode:
    """An authorization code in the words of Authlib."""

    code_challenge_method = "S256"

    def __init__(self, code: SecretText, found: AuthorizationCode) -> None:
        self.family = family_of_code(code)
        self.found = found
        self.code_challenge = found.code_challenge

    def get_redirect_uri(self) -> str:
        return self.found.redirect_uri

    def get_scope(self) -> str:
        return SCOPE


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    @property
    def state(self) -> State:
        state: State = self.server.state
        return state

    @staticmethod
    def validate_authorization_redirect_uri(request: Any, client: Any) -> str:
        """Return the redirect address, which has to be in the request; compared as a whole."""
        redirect_uri = request.payload.redirect_uri
        if not redirect_uri or not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError(
                "the redirect_uri is not http://localhost:PORT/callback with a port"
            )
        return str(redirect_uri)

    def generate_authorization_code(self) -> str:
        """Store a code for the person who logged in; it is stored when it is made."""
        data = self.request.payload.data
        code = wait_for(
            self.state.codes.issue(
                self.request.user,
                client_id=self.request.client.id,
                redirect_uri=data["redirect_uri"],
                code_challenge=data["code_challenge"],
            )
        )
        return code.reveal()

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Do nothing: the code was stored when it was made."""

    def query_authorization_code(self, code: str, client: Any) -> _TakenCode:
        """Take the code; revoke what was issued for it if it was taken before (RFC 6749, 4.1.2)."""
        secret = SecretText(code)
        found = wait_for(self.state.codes.take(secret, client.id))
        if found is None:
            wait_for(
                self.state.families.revoke(
                    family_of_code(secret), _USED_TWICE, peer=self.request.peer
                )
            )
            raise InvalidGrantError(_USED_CODE)
        return _TakenCode(secret, found)

    def delete_authorization_code(self, authorization_code: _TakenCode) -> None:
        """Do nothing: looking the code up has deleted it."""

    def authenticate_user(self, authorization_code: _TakenCode) -> Login:
        return self.state.require_member(authorization_code.found.login)

    def generate_token(self, *, user: Login, **_: object) -> Token:
        family = self.request.authorization_code.family
        return self.state.start_family(family, user, self.request.client.id, self.request.peer)


class _ReplacedToken:
    """A refresh token that has been replaced, in the words of Authlib."""

    def __init__(self, refreshed: Refreshed) -> None:
        self.refreshed = refreshed

    def check_client(self, client: Any) -> bool:
        return bool(self.refreshed.family.client_id == client.id)

    def get_scope(self) -> str:
        return SCOPE


class RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    @property
    def state(self) -> State:
        state: State = self.server.state
        return state

    def authenticate_refresh_token(self, refresh_token: str) -> _ReplacedToken:
        refreshed = wait_for(
            self.state.families.refresh(
                SecretText(refresh_token), self.request.client.id, peer=self.request.peer
            )
        )
        if refreshed is None:
            raise InvalidGrantError(_INVALID_TOKEN)
        return _ReplacedToken(refreshed)

    def _validate_token_scope(self, token: _ReplacedToken) -> None:
        """Accept any scope: tokens have one, whatever is asked for."""

    def authenticate_user(self, refresh_token: _ReplacedToken) -> Login:
        family = refresh_token.refreshed.family
        try:
            return self.state.require_member(family.login)
        except InvalidGrantError as error:
            why = str(error.description)
            wait_for(self.state.families.revoke(family.id, why, peer=self.request.peer))
            raise

    def issue_token(self, user: Login, refresh_token: _ReplacedToken) -> Token:
        del user  # the family names the same person
        return self.state.tokens_of(refresh_token.refreshed)

    def revoke_old_credential(self, refresh_token: _ReplacedToken) -> None:
        """Do nothing: looking the token up has replaced it."""


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def generate_token(self, **_: object) -> Token:
        state: State = self.server.state
        owner = self.request.client.owner
        return state.access_token_of(owner, self.request.client.id)


class DeviceCodeGrant(AuthlibDeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    @property
    def state(self) -> State:
        state: State = self.server.state
        return state

    def query_device_credential(self, device_code: str) -> "_PolledCode":
        """Poll, and take the login if it was decided; revoke it if it was taken before."""
        secret = SecretText(device_code)
        client_id = self.request.payload.client_id
        polled = wait_for(self.state.devices.poll(secret, client_id))
        if polled is None:
            wait_for(
                self.state.families.revoke(
                    family_of_code(secret), _USED_TWICE, peer=self.request.peer
                )
            )
            raise InvalidGrantError(_USED_CODE)
        return _PolledCode(secret, polled)

    def validate_device_credential(self, credential: "_PolledCode") -> Login:
        polled = credential.polled
        if self.state.clock.now() >= polled.expires_at:
            raise ExpiredTokenError
        if polled.approved is False:
            raise AccessDeniedError
        if polled.approved and polled.login is not None:
            return self.state.require_member(polled.login)
        if polled.is_too_fast:
            raise SlowDownError
        raise AuthorizationPendingError

    def generate_token(self, *, user: Login, **_: object) -> Token:
        family = self.request.credential.family
        return self.state.start_family(family, user, self.request.client.id, self.request.peer)


class _PolledCode:
    """A device code in the words of Authlib."""

    def __init__(self, code: SecretText, polled: PolledDevice) -> None:
        self.family = family_of_code(code)
        self.polled = polled

    def get_client_id(self) -> str:
        return self.polled.client_id

    def get_scope(self) -> str:
        return SCOPE


GRANTS: tuple[tuple[type[Any], tuple[Any, ...]], ...] = (
    (AuthorizationCodeGrant, (RequiredCodeChallenge(required=True),)),
    (RefreshTokenGrant, ()),
    (ClientCredentialsGrant, ()),
    (DeviceCodeGrant, ()),
)
