"""Clients of the authorization server: the SDK and CLI, and API keys of service accounts."""

from typing import Any, Protocol

from authlib.oauth2.rfc6749 import ClientMixin

from controlplane.core.credentials import CredentialOwner
from controlplane.core.oauth import DEVICE_CODE_GRANT, SCOPE, PublicClient, is_loopback_callback
from controlplane.oauth.greenlets import wait_for
from shared.kit.secrets import SecretText

API_KEY_PREFIX = "ak-"

_PUBLIC_GRANTS = frozenset({"authorization_code", "refresh_token", DEVICE_CODE_GRANT})
_SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post"})


class ApiKeys(Protocol):
    async def check(self, client_id: str, secret: SecretText) -> CredentialOwner | None:
        """
        Return whom a key speaks for; None if it is unknown, expired or revoked, or disabled.

        ``client_id`` begins with ``ak-``; it and the secret come from the network unchecked.
        """
        ...


class Client(ClientMixin):
    """Properties that all clients share."""

    id: str

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> None:
        """Return none: the redirect address has to be in the request."""

    def get_allowed_scope(self, _scope: str | None) -> str:
        """Return the one scope, whatever was asked: permissions come from roles."""
        return SCOPE


class PublicClientModel(Client):
    """The SDK or CLI: no secret, PKCE or the device flow."""

    def __init__(self, client: PublicClient) -> None:
        self.id = client.id
        self.title = client.title

    def check_client_secret(self, _client_secret: str) -> bool:
        return False  # it has none

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return is_loopback_callback(redirect_uri)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in _PUBLIC_GRANTS


class ApiKeyClient(Client):
    """
    An API key: an id and a secret, exchanged for access tokens.

    Made for any id that could be one, so that the answer does not tell whether a key exists.
    """

    def __init__(self, client_id: str, keys: ApiKeys) -> None:
        self.id = client_id
        self._keys = keys
        self._owner: CredentialOwner | None = None

    @property
    def owner(self) -> CredentialOwner:
        """Return whom the key speaks for; only after its secret was checked."""
        if self._owner is None:
            raise RuntimeError("the secret of the API key was not checked")
        return self._owner

    def check_client_secret(self, client_secret: str) -> bool:
        self._owner = wait_for(self._keys.check(self.id, SecretText(client_secret)))
        return self._owner is not None

    def check_redirect_uri(self, _redirect_uri: str) -> bool:
        return False

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method in _SECRET_METHODS

    def check_response_type(self, _response_type: str) -> bool:
        return False

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


def is_confidential(client: Any) -> bool:
    return isinstance(client, ApiKeyClient)
