"""
The keys that sign access tokens, and the sets of them that a replica signs and verifies with.

All replicas read the same keys and choose by the database's clock, so they agree. A key is
published before it signs, and stays published until the last token that it signed has expired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from joserfc.jwk import ECKey

from controlplane.core.credentials import ACCESS_TOKENS_LIVE, LEEWAY

ALGORITHM = "ES256"
_CURVE = "P-256"

ROTATE_EVERY = timedelta(days=30)
"""Age at which a key is replaced."""
PUBLISHED_BEFORE = timedelta(hours=1)
"""How long a key is published before it signs: longer than caches of the key set live."""
JWKS_MAX_AGE = timedelta(minutes=5)
"""How long clients may cache the published key set."""
KEPT_AFTER = ACCESS_TOKENS_LIVE + LEEWAY + timedelta(minutes=4)
"""How long a retired key stays: until its last token expired, and replicas have read the next."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key pair with the time from which it signs; ``expires_at`` once it has a successor."""

    key: ECKey = field(repr=False)
    active_from: datetime
    expires_at: datetime | None = None

    @property
    def kid(self) -> str:
        kid = self.key.kid
        if kid is None:
            raise ValueError("a signing key has an id")
        return kid

    @property
    def public(self) -> Mapping[str, Any]:
        """The public JWK, as it is published."""
        return {**self.key.as_dict(private=False), "use": "sig", "alg": ALGORITHM}


class NoSigningKeyError(Exception):
    """No key may sign at this time: the keys were not read yet, or all have expired."""


class TokenKeySet:
    """The keys that this replica knows; replaced as a whole when they were read again."""

    def __init__(self, keys: Sequence[TokenKey] = ()) -> None:
        self._keys: Mapping[str, TokenKey] = {}
        self.replace(keys)

    def replace(self, keys: Sequence[TokenKey]) -> bool:
        """Use these keys from now on; return whether a key that was known is gone."""
        known = set(self._keys)
        self._keys = {key.kid: key for key in keys}
        return bool(known - set(self._keys))

    def current(self, now: datetime) -> TokenKey:
        """Return the key that signs at ``now``: the one that became active last."""
        active = [key for key in self._keys.values() if key.active_from <= now]
        if not active:
            raise NoSigningKeyError("there is no active signing key")
        return max(active, key=lambda key: (key.active_from, key.kid))

    def find(self, kid: str, now: datetime) -> ECKey | None:
        """Return the key of this id; None if it is unknown or has expired."""
        found = self._keys.get(kid)
        if found is None or (found.expires_at is not None and found.expires_at <= now):
            return None
        return found.key

    def jwks(self, now: datetime) -> Mapping[str, Any]:
        """Return the published key set (RFC 7517): every key that has not expired."""
        return {"keys": [key.public for kid, key in self._keys.items() if self.find(kid, now)]}


def make_key(active_from: datetime) -> TokenKey:
    """Generate a key pair whose id is its thumbprint (RFC 7638)."""
    key = ECKey.generate_key(_CURVE, auto_kid=True)
    return TokenKey(key, active_from)


def load_key(private_key: bytes, active_from: datetime, expires_at: datetime | None) -> TokenKey:
    """Load a key pair from what ``dump_key`` returned."""
    key = ECKey.import_key(private_key)
    key.ensure_kid()
    return TokenKey(key, active_from, expires_at)


def dump_key(key: TokenKey) -> bytes:
    """Return the private key as PKCS 8 in PEM; it is to be sealed before it is stored."""
    return key.key.as_pem(private=True)


def is_due(keys: Sequence[TokenKey], now: datetime) -> bool:
    """Return whether a successor has to be published now, or a first key."""
    if not keys:
        return True
    newest = max(key.active_from for key in keys)
    return now >= newest + ROTATE_EVERY - PUBLISHED_BEFORE
