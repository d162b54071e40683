"""
Reads and remembers providers' metadata and keys.

One request at a time for each issuer and kind; what was read serves for an hour, a failure for
some seconds, so that a provider that is down is not asked by every login. A key that is not known
is looked for once more, at most every half minute: providers rotate their keys.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from controlplane.core.identity_providers import ProviderUnavailableError
from controlplane.outbound.guard import TIMEOUT, GuardedTransport
from shared.kit.cache import LruCache
from shared.kit.clock import Clock

READ_AGAIN = timedelta(hours=1)
FAILED_AGAIN = timedelta(seconds=10)
KEYS_AGAIN = timedelta(seconds=30)
WHOLE_SECONDS = 10.0
"""Longest time for one request, from the resolution of the name to the last byte."""
_REMEMBERED = 1_000  # issuers
_WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Metadata of a provider, as far as logins need it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    algorithms: frozenset[str] = frozenset()
    auth_methods: frozenset[str] = frozenset()
    sends_issuer: bool = False  # RFC 9207: its answers carry ``iss``


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    metadata: Metadata | None = None
    read_at: datetime | None = None
    keys: KeySet | None = None
    keys_read_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""


class Discovery:
    """Metadata and keys of providers, by issuer."""

    def __init__(self, transport: GuardedTransport, clock: Clock, *, allow_http: bool) -> None:
        self._transport = transport
        self._clock = clock
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._entries: LruCache[str, _Entry] = LruCache(_REMEMBERED)

    async def metadata(self, issuer: str) -> Metadata:
        """Return a provider's metadata; ProviderUnavailableError."""
        entry = self._entry(issuer)
        async with entry.lock:
            now = self._clock.now()
            if (
                entry.metadata is not None
                and entry.read_at is not None
                and (now - entry.read_at < READ_AGAIN)
            ):
                return entry.metadata
            _require_not_failed(entry, now)
            try:
                document = await self.get_json(issuer.rstrip("/") + _WELL_KNOWN)
                entry.metadata, entry.read_at = self._parse(issuer, document), now
            except ProviderUnavailableError as error:
                entry.failed_at, entry.failure = now, str(error)
                raise
            return entry.metadata

    async def keys(self, issuer: str, *, unknown: bool = False) -> KeySet:
        """
        Return a provider's public keys; ProviderUnavailableError.

        ``unknown``: those there are do not have the key of a token; read again if it is time.
        """
        uri = (await self.metadata(issuer)).jwks_uri
        entry = self._entry(issuer)
        async with entry.lock:
            now, again = self._clock.now(), KEYS_AGAIN if unknown else READ_AGAIN
            if (
                entry.keys is not None
                and entry.keys_read_at is not None
                and (now - entry.keys_read_at < again)
            ):
                return entry.keys
            _require_not_failed(entry, now)
            try:
                entry.keys = _parse_keys(await self.get_json(uri))
                entry.keys_read_at = now
            except ProviderUnavailableError as error:
                entry.failed_at, entry.failure = now, str(error)
                raise
            return entry.keys

    async def get_json(self, url: str, token: str = "") -> Mapping[str, Any]:
        """Return the JSON object at an address of a provider; ProviderUnavailableError."""
        headers = {"accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        client = httpx2.AsyncClient(transport=self._transport, timeout=TIMEOUT, trust_env=False)
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                answer = await client.get(url, headers=headers)
            document = answer.json() if answer.status_code == httpx2.codes.OK else None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise ProviderUnavailableError(
                f"the identity provider does not answer ({type(error).__name__})"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ProviderUnavailableError("the identity provider's answer is not JSON") from error
        if not isinstance(document, dict):
            raise ProviderUnavailableError(
                f"the identity provider answers {answer.status_code} in place of a document"
            )
        return document

    def require_own_scheme(self, url: str) -> str:
        """Return a URL that browsers or we may open; ProviderUnavailableError."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in self._schemes or not parts.hostname or not url.isprintable():
            raise ProviderUnavailableError("the identity provider names an address that is no URL")
        return url

    def _parse(self, issuer: str, document: Mapping[str, Any]) -> Metadata:
        # Or a provider could pass for another one (mix-up, OpenID Connect Discovery 4.3).
        if document.get("issuer") != issuer:
            raise ProviderUnavailableError(
                "the identity provider names another issuer than the configured one; compare"
                " them character by character"
            )

        def url(name: str, *, required: bool = True) -> str:
            value = document.get(name)
            if value is None and not required:
                return ""
            return self.require_own_scheme(value if isinstance(value, str) else "")

        return Metadata(
            issuer=issuer,
            authorization_endpoint=url("authorization_endpoint"),
            token_endpoint=url("token_endpoint"),
            jwks_uri=url("jwks_uri"),
            userinfo_endpoint=url("userinfo_endpoint", required=False),
            end_session_endpoint=url("end_session_endpoint", required=False),
            algorithms=_words(document.get("id_token_signing_alg_values_supported")),
            auth_methods=_words(document.get("token_endpoint_auth_methods_supported")),
            sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _entry(self, issuer: str) -> _Entry:
        entry = self._entries.get(issuer)
        if entry is None:
            entry = self._entries[issuer] = _Entry()
        return entry


def _require_not_failed(entry: _Entry, now: datetime) -> None:
    if entry.failed_at is not None and now - entry.failed_at < FAILED_AGAIN:
        raise ProviderUnavailableError(entry.failure)


def _words(value: object) -> frozenset[str]:
    return (
        frozenset(each for each in value if isinstance(each, str))
        if isinstance(value, list)
        else frozenset()
    )


def _parse_keys(document: Mapping[str, Any]) -> KeySet:
    """Return the usable keys; a key of a kind that we do not know does not spoil the others."""
    listed = document.get("keys")
    keys = []
    for each in listed if isinstance(listed, list) else []:
        # A symmetric key in a public document would let anyone sign (key confusion).
        if not isinstance(each, dict) or each.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if each.get("use", "sig") != "sig":
            continue
        try:
            keys.extend(KeySet.import_key_set({"keys": [each]}).keys)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not keys:
        raise ProviderUnavailableError("the identity provider has published no usable key")
    return KeySet(keys)
