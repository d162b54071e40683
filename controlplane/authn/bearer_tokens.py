"""Authenticates calls by their access token, in the headers that the SDK may use."""

from collections.abc import Mapping
from dataclasses import replace

from controlplane.authn.access_tokens import AccessTokens
from controlplane.authn.caller_cache import CallerCache
from controlplane.authn.revocations import Revocations
from controlplane.core.callers import Caller
from controlplane.core.errors import UnauthenticatedError
from shared.kit.secrets import SecretText

HEADERS = ("flyte-authorization", "authorization")
"""The SDK uses the name that it was told, and ``authorization`` before it has been told."""


class BearerTokens:
    """Authenticates requests whose headers carry an access token of this service."""

    def __init__(
        self, tokens: AccessTokens, revocations: Revocations, callers: CallerCache
    ) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._callers = callers

    async def authenticate(self, headers: Mapping[str, str], _peer: str | None) -> Caller:
        """Return the caller of a valid token, with what it is granted now."""
        token = self._tokens.verify(find_bearer_token(headers))
        credential = token.credential
        self._revocations.require_valid(token.org, credential)
        caller = await self._callers.find(token.org, token.subject)
        # Again: it may have been revoked meanwhile. The caller registers a stream without an
        # await in between, so that no revocation is missed.
        self._revocations.require_valid(token.org, credential)
        return replace(caller, credential=credential)


def find_bearer_token(headers: Mapping[str, str]) -> SecretText:
    """Return the token in a request's headers; UnauthenticatedError if there is none."""
    for name in HEADERS:
        value = headers.get(name)
        if value is None:
            continue
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError(f"the header {name} is not of the form: Bearer <token>")
        return SecretText(token.strip())
    raise UnauthenticatedError("the call carries no credential; log in, or use an API key")
