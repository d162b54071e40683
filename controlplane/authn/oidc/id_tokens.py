"""
Verifies ID tokens: signature by the provider's published keys, then every claim.

OpenID Connect Core 3.1.3.7. Only asymmetric algorithms are accepted: with a symmetric one,
or none, everyone who knows the public key could sign.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from controlplane.core.identity_providers import ProviderRefusedError
from shared.kit.secrets import SecretText

ALGORITHMS = frozenset({
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
})  # fmt: skip
LEEWAY_SECONDS = 120
_MAX_CHARACTERS = 64 * 1024


class UnknownKeyError(ProviderRefusedError):
    """The token is signed with a key that is not among those given."""


def verify_id_token(
    text: str,
    keys: KeySet,
    *,
    issuer: str,
    client_id: str,
    nonce: SecretText | None,
    access_token: str,
    now: datetime,
) -> Mapping[str, Any]:
    """
    Return the claims of a valid ID token; UnknownKeyError, ProviderRefusedError.

    ``nonce``: of the login; None after a refresh, whose token need not repeat it.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ProviderRefusedError("the identity provider's token is too large")
    try:
        token = jwt.decode(text, keys, algorithms=sorted(ALGORITHMS))
    except InvalidKeyIdError as error:
        raise UnknownKeyError(
            "the identity provider's token is signed with an unknown key"
        ) from error
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProviderRefusedError(
            f"the identity provider's token is not valid ({type(error).__name__})"
        ) from error
    claims = CodeIDToken(
        token.claims,
        token.header,
        options={
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": client_id},
            "sub": {"essential": True},
        },
        params={
            "client_id": client_id,
            "access_token": access_token,
            **({} if nonce is None else {"nonce": nonce.reveal()}),
        },
    )
    try:
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ProviderRefusedError(_why(error)) from error
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise ProviderRefusedError("the identity provider's token names no person")
    return dict(claims)


def _why(error: Exception) -> str:
    claim = getattr(error, "claim", "") or ""
    described = f"{type(error).__name__} {claim}".strip()
    if type(error).__name__ == "ExpiredTokenError" or claim in ("iat", "nbf", "exp"):
        return (
            f"the identity provider's token is not valid at this time ({described}); compare the"
            " clocks of the provider and of this service"
        )
    return f"the identity provider's token is not for this login ({described})"
