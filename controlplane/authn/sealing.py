"""
Seals private keys and client secrets that lie in the database, with the installation's key.

A sealed value is ``version (1 byte) | key id (4) | nonce (12) | AES-256-GCM of the value``. Its
purpose is authenticated: a value sealed as one thing does not open as another.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.kit.secrets import SecretBytes

KEY_BYTES = 32

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES


class SealError(Exception):
    """A sealed value cannot be opened: another key, another purpose, or it was altered."""


class Sealer:
    """Seals with the first of its keys, and opens what any of them has sealed."""

    def __init__(self, keys: Sequence[SecretBytes]) -> None:
        """ValueError unless there is a key, and each has 32 bytes."""
        if not keys or any(len(key.reveal()) != KEY_BYTES for key in keys):
            raise ValueError(f"sealing takes one or more keys of {KEY_BYTES} bytes")
        self._ciphers = {_key_id(key): AESGCM(key.reveal()) for key in keys}
        self._first = _key_id(keys[0])
        self._digest_key = hmac.digest(keys[-1].reveal(), b"volary digests", sha256)

    def seal(self, value: SecretBytes, purpose: str) -> bytes:
        """Seal ``value``; only ``open`` with the same purpose returns it."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + self._first + nonce
        cipher = self._ciphers[self._first]
        return head + cipher.encrypt(nonce, value.reveal(), purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> SecretBytes:
        """Return the value that ``seal`` sealed for ``purpose``; SealError if it is not one."""
        if len(sealed) < _HEAD_BYTES or not sealed.startswith(_VERSION):
            raise SealError(f"the {purpose} in the database is not a sealed value")
        key_id = sealed[len(_VERSION) : len(_VERSION) + _KEY_ID_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealError(
                f"the {purpose} in the database was sealed with another key"
                f" ({key_id.hex()}); add that key to VOLARY_SEALING_KEY"
            )
        nonce = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES]
        try:
            return SecretBytes(cipher.decrypt(nonce, sealed[_HEAD_BYTES:], purpose.encode()))
        except InvalidTag as error:
            raise SealError(f"the {purpose} in the database was altered") from error

    def is_current(self, sealed: bytes) -> bool:
        """Return whether the first key sealed this value; otherwise it is to be sealed again."""
        return sealed[len(_VERSION) : len(_VERSION) + _KEY_ID_BYTES] == self._first

    def digest(self, value: str, purpose: str) -> bytes:
        """
        Return 32 bytes by which a short value is found, and from which it cannot be guessed.

        For codes that people type: their few bits would be found from a plain SHA-256. The last
        key makes it, so that a key added in front leaves digests as they are.
        """
        return hmac.digest(self._digest_key, f"{purpose}\0{value}".encode(), sha256)


def parse_sealing_keys(text: str) -> tuple[SecretBytes, ...]:
    """
    Parse keys of 32 bytes in Base64, separated by commas.

    The text of the ValueError continues after a setting's name and contains no key.
    """
    keys: list[SecretBytes] = []
    for part in text.split(","):
        try:
            standard = part.strip().replace("-", "+").replace("_", "/")
            key = base64.b64decode(standard, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(
                f"is not {KEY_BYTES} random bytes in Base64 (`openssl rand -base64 32` makes some)"
            )
        keys.append(SecretBytes(key))
    return tuple(keys)


def _key_id(key: SecretBytes) -> bytes:
    return sha256(b"volary sealing key id" + key.reveal()).digest()[:_KEY_ID_BYTES]
