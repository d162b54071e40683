"""
Issues and verifies access tokens: JWTs as RFC 9068 describes, signed with ES256.

A token names its subject, its org and the credential that it was issued for (a login's token
family, or an API key), which is what can be revoked. It carries no permissions: those are read
when it is used, so that a removed role takes effect at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from joserfc import jws, jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingClaimError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import ECKey, GuestProtocol
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from controlplane.authn.signing_keys import ALGORITHM, TokenKeySet
from controlplane.core.callers import Credential, Subject
from controlplane.core.credentials import ACCESS_TOKENS_LIVE, LEEWAY
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.oauth import SCOPE
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName

_TYPE = "at+jwt"
_MAX_CHARACTERS = 4096
_CACHED = 10_000  # verified tokens of a replica; some 500 bytes each
_MALFORMED = "a claim of the access token is malformed"
_ESSENTIAL = ("sub", "org", "client_id", "credential_kind", "credential_id", "exp", "iat", "jti")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The claims of a token; ``expires_at`` without leeway, as the token says."""

    subject: Subject
    org: OrgName
    client_id: str
    credential_kind: str
    credential_id: str
    issued_at: datetime
    expires_at: datetime
    id: str

    @property
    def credential(self) -> Credential:
        """
        The credential to revoke, and the time when streams that the token opened end.

        They end with the leeway: a client that connects again before would come with the same
        token, be accepted, and be disconnected at once.
        """
        return Credential(self.credential_kind, self.credential_id, self.expires_at + LEEWAY)


class AccessTokens:
    """Issues tokens for ``issuer``, which is their audience too, and verifies them."""

    def __init__(
        self,
        keys: TokenKeySet,
        clock: Clock,
        *,
        issuer: str,
        lifetime: timedelta = ACCESS_TOKENS_LIVE,
    ) -> None:
        """ValueError if tokens would outlive the keys that signed them."""
        if not timedelta() < lifetime <= ACCESS_TOKENS_LIVE:
            raise ValueError(f"access tokens live {ACCESS_TOKENS_LIVE} at most")
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self.lifetime = lifetime
        self._verified: LruCache[bytes, AccessToken] = LruCache(_CACHED)

    def issue(
        self, *, subject: Subject, org: OrgName, client_id: str, credential: Credential
    ) -> SecretText:
        """
        Return a signed token; NoSigningKeyError if no key may sign now.

        It expires with its credential, if that is sooner.
        """
        now = self._clock.now()
        key = self._keys.current(now)
        issued_at = int(now.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": subject,
            "org": org,
            "client_id": client_id,
            "credential_kind": credential.kind,
            "credential_id": credential.id,
            "scope": SCOPE,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + self.lifetime_of(credential),
            "jti": uuid4().hex,
        }
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": _TYPE}
        return SecretText(jwt.encode(header, claims, key.key, algorithms=[ALGORITHM]))

    def lifetime_of(self, credential: Credential) -> int:
        """Return for how many seconds a token of this credential is valid, if issued now."""
        lifetime = self.lifetime
        if credential.expires_at is not None:
            lifetime = min(lifetime, credential.expires_at - self._clock.now())
        return max(int(lifetime.total_seconds()), 0)

    def verify(self, token: SecretText) -> AccessToken:
        """
        Return the claims of a valid token; UnauthenticatedError with the reason otherwise.

        Revocation is not checked here. Verifying costs some 200 µs, so verified tokens are
        remembered by their hash until they expire.
        """
        digest = sha256(token.reveal().encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            self._require_current(known)
            return known
        found = self._verified[digest] = self._verify(token.reveal())
        return found

    def forget_verified(self) -> None:
        """Verify every token again, because a key was withdrawn."""
        self._verified.clear()

    def _require_current(self, token: AccessToken) -> None:
        if token.expires_at + LEEWAY <= self._clock.now():
            raise UnauthenticatedError("the access token has expired; get a new one")

    def _verify(self, text: str) -> AccessToken:
        if len(text) > _MAX_CHARACTERS:
            raise UnauthenticatedError("the access token is too long to be one of this service")
        try:
            token = jwt.decode(text, self._find_key, algorithms=[ALGORITHM], registry=_REGISTRY)
            if token.header.get("typ") != _TYPE:
                raise UnauthenticatedError("the credential is a JWT but not an access token")
            self._claims_registry().validate(token.claims)
        except ExpiredTokenError as error:
            raise UnauthenticatedError("the access token has expired; get a new one") from error
        except MissingClaimError as error:
            raise UnauthenticatedError("the access token lacks a claim") from error
        except InvalidClaimError as error:
            raise UnauthenticatedError(_describe(error)) from error
        except (BadSignatureError, UnsupportedAlgorithmError) as error:
            raise UnauthenticatedError(
                f"the access token is not signed by this service with {ALGORITHM}"
            ) from error
        except (JoseError, ValueError, TypeError) as error:  # joserfc takes types for granted
            raise UnauthenticatedError("the credential is not an access token") from error
        return _parse(token.claims)

    def _find_key(self, signed: GuestProtocol) -> ECKey:
        header = signed.headers()
        key = self._keys.find(str(header.get("kid", "")), self._clock.now())
        if key is None:
            raise UnauthenticatedError(
                "the access token is signed with a key that this service does not know"
            )
        return key

    def _claims_registry(self) -> JWTClaimsRegistry:
        return JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=int(LEEWAY.total_seconds()),
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._issuer},
            **_ESSENTIAL_CLAIMS,
        )


_ESSENTIAL_CLAIMS: dict[str, ClaimsOption] = {name: {"essential": True} for name in _ESSENTIAL}
_REGISTRY = jws.JWSRegistry(algorithms=[ALGORITHM])


def _describe(error: InvalidClaimError) -> str:
    match error.claim:
        case "iss":
            return "the access token was issued by another service"
        case "aud":
            return "the access token is for another service"
        case "nbf" | "iat":
            return "the access token is not valid yet; check the clocks"
        case _:
            return _MALFORMED


def _parse(claims: Mapping[str, Any]) -> AccessToken:
    texts = [claims[name] for name in _ESSENTIAL if name not in {"exp", "iat"}]
    issued, expires = claims["iat"], claims["exp"]
    if not all(isinstance(text, str) for text in texts):
        raise UnauthenticatedError(_MALFORMED)
    if not isinstance(issued, int) or not isinstance(expires, int):
        raise UnauthenticatedError(_MALFORMED)
    # Bounds both times, as the time of issue is not in the future, nor the expiry in the past.
    if expires - issued > ACCESS_TOKENS_LIVE.total_seconds():
        raise UnauthenticatedError("the access token is valid for longer than this service issues")
    return AccessToken(
        subject=Subject(claims["sub"]),
        org=OrgName(claims["org"]),
        client_id=claims["client_id"],
        credential_kind=claims["credential_kind"],
        credential_id=claims["credential_id"],
        issued_at=datetime.fromtimestamp(issued, UTC),
        expires_at=datetime.fromtimestamp(expires, UTC),
        id=claims["jti"],
    )
