"""Authenticates calls by their access token, in the headers that the SDK may use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from controlplane.authn.access_tokens import AccessToken, AccessTokens
from controlplane.authn.caller_cache import CallerCache
from controlplane.authn.revocations import Revocations
from controlplane.core.callers import Caller, Credential, Subject
from controlplane.core.credentials import CredentialKind
from controlplane.core.errors import UnauthenticatedError
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

HEADERS = ("flyte-authorization", "authorization")
"""The SDK uses the name that it was told, and ``authorization`` before it has been told."""


class FindAttempt(Protocol):
    async def __call__(self, org: OrgName, subject: Subject, credential: Credential) -> Caller:
        """Return the caller of a running attempt; UnauthenticatedError if it does not run."""
        ...


class BearerTokens:
    """
    Authenticates requests whose headers carry an access token of this service.

    Tokens of tasks are accepted only with ``find_attempt``: they are for the API.
    """

    def __init__(
        self,
        tokens: AccessTokens,
        revocations: Revocations,
        callers: CallerCache,
        *,
        find_attempt: FindAttempt | None = None,
    ) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._callers = callers
        self._find_attempt = find_attempt

    def with_attempts(self, find_attempt: FindAttempt) -> "BearerTokens":
        """Return an authenticator that accepts the tokens of tasks as well."""
        return BearerTokens(
            self._tokens, self._revocations, self._callers, find_attempt=find_attempt
        )

    async def authenticate(self, headers: Mapping[str, str], _peer: str | None) -> Caller:
        """Return the caller of a valid token, with what it is granted now."""
        token = self._tokens.verify(find_bearer_token(headers))
        credential = token.credential
        if credential.kind == CredentialKind.ATTEMPT:
            return await self._authenticate_attempt(token)
        self._revocations.require_valid(token.org, credential)
        caller = await self._callers.find(token.org, token.subject)
        # Again: it may have been revoked meanwhile. The caller registers a stream without an
        # await in between, so that no revocation is missed.
        self._revocations.require_valid(token.org, credential)
        return replace(caller, credential=credential)

    async def _authenticate_attempt(self, token: AccessToken) -> Caller:
        if self._find_attempt is None:
            raise UnauthenticatedError("the access token is a task's, which calls the API only")
        caller = await self._find_attempt(token.org, token.subject, token.credential)
        return replace(caller, credential=token.credential)


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
