"""
Makes refresh tokens and user codes, and seals the successor of a refresh token.

A replaced token gives the same successor again for some seconds. The successor is kept sealed
with a key that follows from the replaced token, so only a client that has that token can get it.
"""

import secrets

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from controlplane.authn.sealing import KEY_BYTES, Sealer
from controlplane.core.oauth import USER_CODE_LENGTH, USER_CODE_LETTERS, format_user_code
from shared.kit.secrets import SecretBytes, SecretText, new_secret

PREFIX = "volary_refresh_"
"""Scanners for leaked credentials find tokens by this."""

_PURPOSE = "successor of a refresh token"


def make_refresh_token() -> SecretText:
    """Return a token with 256 random bits."""
    return SecretText(PREFIX + new_secret().reveal())


def make_user_code() -> str:
    """Return a code like ``BCDF-GHJK``, with 34 random bits."""
    return format_user_code(
        "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(USER_CODE_LENGTH))
    )


def seal_successor(token: SecretText, successor: SecretText) -> bytes:
    """Seal the successor of ``token``."""
    return _sealer(token).seal(SecretBytes(successor.reveal().encode()), _PURPOSE)


def open_successor(token: SecretText, sealed: bytes) -> SecretText:
    """Return the successor of ``token``; SealError if ``sealed`` is another token's."""
    return SecretText(_sealer(token).open(sealed, _PURPOSE).reveal().decode())


def _sealer(token: SecretText) -> Sealer:
    derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=_PURPOSE.encode())
    return Sealer([SecretBytes(derived.derive(token.reveal().encode()))])
