"""Authlib's authorization server on Starlette's requests, with our grants and endpoints."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError, InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint
from starlette.responses import JSONResponse, RedirectResponse, Response

from controlplane.authn.access_tokens import AccessToken
from controlplane.core.credentials import CredentialKind
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.oauth import PUBLIC_CLIENTS, SCOPE, TokenFamily
from controlplane.oauth.clients import API_KEY_PREFIX, ApiKeyClient, Client, PublicClientModel
from controlplane.oauth.grants import GRANTS
from controlplane.oauth.greenlets import wait_for
from controlplane.oauth.requests import AuthorizationRequest, find_basic_credentials
from controlplane.oauth.state import State
from controlplane.usecases.device_codes import DeviceLogin
from shared.kit.secrets import SecretText

DEVICE_AUTHORIZATION, REVOCATION, INTROSPECTION = (
    "device_authorization",
    "revocation",
    "introspection",
)

_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


class Answer(JSONResponse):
    """A JSON answer; ``error`` is OAuth 2.0's code, "" if there is none."""

    def __init__(self, body: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(body, status_code=status, headers=headers)
        self.error = str(body.get("error", ""))


class NotRevocableError(OAuth2Error):
    """RFC 7009, 2.2.1."""

    error = "unsupported_token_type"
    description = "tokens of an API key end with the key; revoke the key"


class OAuthServer(AuthorizationServer):
    """Authlib's server; its methods run in a greenlet (``oauth.greenlets``)."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state
        self.register_client_auth_method("client_secret_basic", _authenticate_basic)
        for grant, extensions in GRANTS:
            self.register_grant(grant, extensions)
        for endpoint in (_DeviceEndpoint, _RevocationEndpoint, _IntrospectionEndpoint):
            self.register_endpoint(endpoint)

    def query_client(self, client_id: str) -> Client | None:
        if client_id.startswith(API_KEY_PREFIX):
            return ApiKeyClient(client_id, self.state.api_keys)
        found = PUBLIC_CLIENTS.get(client_id)
        return None if found is None else PublicClientModel(found)

    def authenticate_client(
        self, request: Any, methods: Sequence[str], endpoint: str = "token"
    ) -> Any:
        """Return the authenticated client; an error that does not tell which part was wrong."""
        try:
            return super().authenticate_client(request, methods, endpoint)
        except InvalidClientError as error:
            is_basic = request.headers.get("authorization", "").lower().startswith("basic")
            raise InvalidClientError(
                description="the client or API key is unknown, expired or revoked, its secret is"
                " wrong, or it may not do this",
                status_code=401 if is_basic else 400,
            ) from error

    def save_token(self, token: Mapping[str, Any], request: Any) -> None:
        """Do nothing: refresh tokens are stored when they are made, access tokens never."""

    def create_oauth2_request(self, request: AuthorizationRequest) -> AuthorizationRequest:
        return request

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: nothing listens."""

    def handle_error_response(self, request: Any, error: OAuth2Error) -> Response:
        """Answer with an error; never by a redirect, for which the SDK's local server has no case."""
        error.redirect_uri = None
        response: Response = super().handle_error_response(request, error)
        return response

    def handle_response(
        self, status: int, body: Any, headers: Sequence[tuple[str, str]]
    ) -> Response:
        named = {name.lower(): value for name, value in headers}
        location = named.pop("location", None)
        if location is not None:
            # 303: the browser follows a form it has sent with GET, not by sending the form again.
            return RedirectResponse(location, status_code=303, headers=_NO_STORE)
        named.pop("content-type", None)
        return Answer(dict(body), status, {**named, **_NO_STORE})


def _authenticate_basic(query_client: Any, request: AuthorizationRequest) -> Client | None:
    """Authenticate by Basic; unlike Authlib's own, malformed credentials are no exception."""
    credentials = find_basic_credentials(request)
    if credentials is None:
        return None
    client_id, secret = credentials
    client = query_client(client_id)
    if isinstance(client, ApiKeyClient) and client.check_client_secret(secret):
        return client
    return None


class _DeviceEndpoint(DeviceAuthorizationEndpoint):
    CLIENT_AUTH_METHODS = ("none",)

    def create_endpoint_response(self, request: AuthorizationRequest) -> tuple[int, Any, Any]:
        """Start a device login (RFC 8628, 3.2)."""
        state: State = self.server.state
        self.authenticate_client(request)
        started: DeviceLogin = wait_for(state.devices.start(request.client.id, request.peer))
        uri = f"{state.public_url}/device"
        answer = {
            "device_code": started.device_code.reveal(),
            "user_code": started.user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={started.user_code}",
            "expires_in": int(started.lives.total_seconds()),
            "interval": int(started.interval.total_seconds()),
        }
        return 200, answer, []


class _FoundToken:
    """A token that a client names, as the two endpoints about tokens need it."""

    def __init__(self, token: AccessToken | None, family: TokenFamily | None) -> None:
        self.token = token
        self.family = family

    @property
    def client_id(self) -> str:
        return self.token.client_id if self.token else self.family.client_id if self.family else ""

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.id

    def is_expired(self) -> bool:
        return False  # an expired token is not found

    def is_revoked(self) -> bool:
        return False  # a revoked token is not found


class _RevocationEndpoint(RevocationEndpoint):
    """Ends the login that a token belongs to (RFC 7009): all of its tokens."""

    CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

    def query_token(self, token_string: str, token_type_hint: str | None) -> _FoundToken | None:
        del token_type_hint  # the two kinds differ by form
        state: State = self.server.state
        text = SecretText(token_string)
        try:
            return _FoundToken(state.tokens.verify(text), None)
        except UnauthenticatedError:
            family = wait_for(state.families.find(text))
            return None if family is None else _FoundToken(None, family)

    def revoke_token(self, token: _FoundToken, request: AuthorizationRequest) -> None:
        state: State = self.server.state
        if token.family is not None:
            family = token.family.id
        elif token.token is not None and token.token.credential_kind == CredentialKind.LOGIN:
            family = UUID(token.token.credential_id)
        else:
            raise NotRevocableError
        wait_for(state.families.revoke(family, "its client ended it", peer=request.peer))


class _IntrospectionEndpoint(IntrospectionEndpoint):
    """Tells an API key about tokens of its own org (RFC 7662); others do not exist for it."""

    CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def query_token(self, token_string: str, token_type_hint: str | None) -> _FoundToken | None:
        del token_type_hint
        state: State = self.server.state
        text = SecretText(token_string)
        try:
            token = state.tokens.verify(text)
            if token.credential_kind == CredentialKind.ATTEMPT:
                return (
                    None  # whether a task's token is valid follows from its attempt, not asked here
                )
            state.revocations.require_valid(token.org, token.credential)
        except UnauthenticatedError:
            found = wait_for(state.families.find_valid(text))
            return None if found is None else _FoundToken(None, found[0])
        return _FoundToken(token, None)

    def check_permission(
        self, token: _FoundToken, client: ApiKeyClient, request: AuthorizationRequest
    ) -> bool:
        del request
        org = token.token.org if token.token else token.family.login.org if token.family else ""
        return bool(org == client.owner.org)

    def introspect_token(self, token: _FoundToken) -> Mapping[str, Any]:
        state: State = self.server.state
        if token.token is None:
            if token.family is None:
                raise InvalidRequestError("there is no token")
            return {
                "active": True,
                "client_id": token.family.client_id,
                "sub": token.family.login.subject,
                "org": token.family.login.org,
                "scope": SCOPE,
            }
        return {
            "active": True,
            "client_id": token.token.client_id,
            "token_type": "Bearer",
            "scope": SCOPE,
            "sub": token.token.subject,
            "org": token.token.org,
            "iss": state.public_url,
            "aud": state.public_url,
            "iat": int(token.token.issued_at.timestamp()),
            "exp": int(token.token.expires_at.timestamp()),
            "jti": token.token.id,
        }
