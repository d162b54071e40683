"""
Logs people in at identity providers: the address to go to, the code that comes back, refreshes.

Authlib builds and sends the requests of OAuth 2.0; what comes back is checked here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.jwk import KeySet

from controlplane.authn.oidc.discovery import WHOLE_SECONDS, Discovery, Metadata
from controlplane.authn.oidc.id_tokens import UnknownKeyError, verify_id_token
from controlplane.core.identity_providers import (
    Provider,
    ProviderIdentity,
    ProviderRefusedError,
    ProviderUnavailableError,
    read_groups,
    read_text,
)
from controlplane.outbound.guard import TIMEOUT, GuardedTransport
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16
"""Requests that one provider may keep waiting here; more are refused at once."""
_REMEMBERED = 1_000
_GONE = frozenset({"invalid_grant", "access_denied", "interaction_required", "login_required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Secrets that a login keeps until its provider answers."""

    state: SecretText
    nonce: SecretText
    verifier: SecretText


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    identity: ProviderIdentity
    refresh_token: SecretText | None


class OidcClient:
    """Client of every provider; ``allow_private``: providers may be in a private network."""

    def __init__(self, clock: Clock, *, redirect_uri: str, allow_private: bool = False) -> None:
        self._clock = clock
        self._redirect_uri = redirect_uri
        self._transport = GuardedTransport(allow_private=allow_private)
        self._discovery = Discovery(self._transport, clock, allow_http=allow_private)
        self._waiting: LruCache[str, int] = LruCache(
            _REMEMBERED, may_evict=lambda _, count: count == 0
        )

    async def close(self) -> None:
        await self._transport.aclose()

    async def authorization_url(self, provider: Provider, secrets: Secrets) -> str:
        """Return where the browser goes to log in; ProviderUnavailableError."""
        async with self._turn_at(provider):
            metadata = await self._discovery.metadata(provider.settings.issuer)
        extra = {"prompt": "consent"} if "offline_access" in provider.settings.scopes else {}
        url, _ = self._client(provider, metadata).create_authorization_url(
            metadata.authorization_endpoint,
            state=secrets.state.reveal(),
            nonce=secrets.nonce.reveal(),
            code_verifier=secrets.verifier.reveal(),
            **extra,
        )
        return str(url)

    async def redeem(
        self, provider: Provider, code: SecretText, secrets: Secrets, *, issuer: str | None
    ) -> LoggedIn:
        """
        Exchange a code for the person's identity; ProviderUnavailableError, ProviderRefusedError.

        ``issuer``: the answer's ``iss`` parameter. It must be the provider's, so that the code of one
        provider is not sent to another (mix-up, RFC 9207).
        """
        async with self._turn_at(provider):
            metadata = await self._discovery.metadata(provider.settings.issuer)
            if issuer is None and metadata.sends_issuer:
                raise ProviderRefusedError("the answer does not name the provider that sent it")
            if issuer is not None and issuer != metadata.issuer:
                raise ProviderRefusedError("the answer is of another identity provider")
            tokens = await self._fetch(
                provider,
                metadata,
                grant_type="authorization_code",
                code=code.reveal(),
                code_verifier=secrets.verifier.reveal(),
                redirect_uri=self._redirect_uri,
            )
            identity = await self._identify(provider, metadata, tokens, secrets.nonce)
        return LoggedIn(identity=identity, refresh_token=_refresh_token(tokens))

    async def refresh(self, provider: Provider, token: SecretText, subject: str) -> LoggedIn:
        """
        Read again what the provider says of a person; ``subject`` is who it must still be.

        ProviderRefusedError: the login has ended there. ProviderUnavailableError.
        """
        async with self._turn_at(provider):
            metadata = await self._discovery.metadata(provider.settings.issuer)
            tokens = await self._fetch(
                provider, metadata, grant_type="refresh_token", refresh_token=token.reveal()
            )
            try:
                identity = await self._identify(provider, metadata, tokens, None)
            except ProviderRefusedError as error:
                # The grant lives: its tokens are wrong, as when a clock is. Nobody is logged out.
                raise ProviderUnavailableError(str(error)) from error
        if identity.subject != subject:
            raise ProviderRefusedError("the identity provider names another person")
        return LoggedIn(identity=identity, refresh_token=_refresh_token(tokens) or token)

    async def logout_url(self, provider: Provider, return_to: str) -> str | None:
        """Return where the browser goes to log out at the provider too; None if it has no such page."""
        async with self._turn_at(provider):
            metadata = await self._discovery.metadata(provider.settings.issuer)
        if not metadata.end_session_endpoint:
            return None
        query = urlencode(
            {"client_id": provider.settings.client_id, "post_logout_redirect_uri": return_to}
        )
        separator = "&" if "?" in metadata.end_session_endpoint else "?"
        return f"{metadata.end_session_endpoint}{separator}{query}"

    async def _identify(
        self,
        provider: Provider,
        metadata: Metadata,
        tokens: Mapping[str, Any],
        nonce: SecretText | None,
    ) -> ProviderIdentity:
        access_token = tokens.get("access_token")
        access_token = access_token if isinstance(access_token, str) else ""
        id_token = tokens.get("id_token")
        claims: dict[str, Any] = {}
        if isinstance(id_token, str):
            claims |= await self._verify(provider, id_token, nonce, access_token)
        elif nonce is not None:
            raise ProviderRefusedError("the identity provider sent no ID token")
        wanted = ["email", *filter(None, [provider.settings.groups_claim])]
        lacks = any(name not in claims for name in wanted)
        if metadata.userinfo_endpoint and access_token and (lacks or nonce is None):
            said = await self._discovery.get_json(metadata.userinfo_endpoint, access_token)
            if claims and said.get("sub") != claims["sub"]:
                raise ProviderRefusedError("the identity provider describes another person")
            claims |= said
        return _parse(provider, claims)

    async def _verify(
        self, provider: Provider, id_token: str, nonce: SecretText | None, access_token: str
    ) -> Mapping[str, Any]:
        def verify(keys: KeySet) -> Mapping[str, Any]:
            return verify_id_token(
                id_token,
                keys,
                issuer=provider.settings.issuer,
                client_id=provider.settings.client_id,
                nonce=nonce,
                access_token=access_token,
                now=self._clock.now(),
            )

        issuer = provider.settings.issuer
        try:
            return verify(await self._discovery.keys(issuer))
        except UnknownKeyError:  # it may have rotated its keys
            return verify(await self._discovery.keys(issuer, unknown=True))

    async def _fetch(
        self, provider: Provider, metadata: Metadata, **form: str
    ) -> Mapping[str, Any]:
        client = self._client(provider, metadata)
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                tokens = await client.fetch_token(metadata.token_endpoint, **form)
        except OAuthError as error:
            code = read_text(error.error, 60) or "unknown"
            log.info("provider refused", extra={"issuer": metadata.issuer, "error": code})
            if code in _GONE:
                raise ProviderRefusedError(
                    f"the identity provider refused the login ({code})"
                ) from error
            raise ProviderUnavailableError(
                f"the identity provider does not accept this service ({code}); compare client id"
                " and secret, and the redirect address, with its settings"
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise ProviderUnavailableError(
                f"the identity provider does not answer ({type(error).__name__})"
            ) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ProviderUnavailableError("the identity provider's answer is not JSON") from error
        if not isinstance(tokens, dict):
            raise ProviderUnavailableError("the identity provider's answer is no token")
        return tokens

    def _client(self, provider: Provider, metadata: Metadata) -> Any:
        """Return Authlib's client; never closed, as that would close the shared transport."""
        secret = provider.client_secret
        methods = metadata.auth_methods
        if secret is None:
            method = "none"
        elif methods and "client_secret_basic" not in methods:
            method = "client_secret_post"
        else:
            method = "client_secret_basic"
        return AsyncOAuth2Client(
            client_id=provider.settings.client_id,
            client_secret=None if secret is None else secret.reveal(),
            token_endpoint_auth_method=method,
            scope=" ".join(provider.settings.scopes),
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            transport=self._transport,
            timeout=TIMEOUT,
            trust_env=False,
        )

    @asynccontextmanager
    async def _turn_at(self, provider: Provider) -> AsyncIterator[None]:
        """Bound what waits for one provider, so that a slow one does not delay others."""
        issuer = provider.settings.issuer
        waiting = self._waiting.get(issuer, 0)
        if waiting >= MOST_AT_ONCE:
            raise ProviderUnavailableError(
                "many logins wait for the identity provider already; try again in a moment"
            )
        self._waiting[issuer] = waiting + 1
        try:
            yield
        finally:
            self._waiting[issuer] -= 1


def _parse(provider: Provider, claims: Mapping[str, Any]) -> ProviderIdentity:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise ProviderRefusedError("the identity provider names no person")
    email = read_text(claims.get("email"))
    claim = provider.settings.groups_claim
    return ProviderIdentity(
        issuer=provider.settings.issuer,
        subject=subject,
        email=email,
        # Some providers send a string.
        email_verified=bool(email) and claims.get("email_verified") in (True, "true"),
        name=read_text(claims.get("name"))
        or read_text(claims.get("preferred_username"))
        or email
        or read_text(subject),
        groups=read_groups(claims.get(claim)) if claim else None,
    )


def _refresh_token(tokens: Mapping[str, Any]) -> SecretText | None:
    token = tokens.get("refresh_token")
    return SecretText(token) if isinstance(token, str) and 0 < len(token) <= 16_384 else None
