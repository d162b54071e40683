"""
Keys that envelopes are sealed and opened with, as values; files of keys.

A key's name is derived from the key, so a name that is stored with an envelope says which key
opens it, and a wrong key is recognised without opening anything.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.kit.secrets import SecretBytes

_AES_BYTES = 32
_NAME_DIGITS = 16


class KeyFileError(Exception):
    """A key file cannot be used; the message names the file and the remedy, and no key."""


@dataclass(frozen=True, slots=True)
class AesKey:
    """An AES-256 key, which both seals and opens."""

    key: SecretBytes  # 32 bytes

    @property
    def name(self) -> str:
        return f"aes:{_digest(b'volary aes key', self.key.reveal())}"


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A key in AWS KMS; credentials are those that botocore finds."""

    arn: str
    region: str
    endpoint: str = ""  # "": AWS's own

    @property
    def name(self) -> str:
        return f"kms:{self.arn}"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a P-256 key pair: seals, and opens nothing."""

    der: bytes  # SubjectPublicKeyInfo

    @property
    def name(self) -> str:
        return f"p256:{_digest(b'', self.der)}"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """The private half of a P-256 key pair: opens."""

    pem: SecretBytes  # PKCS #8
    public: PublicKey

    @property
    def name(self) -> str:
        return self.public.name


Key = AesKey | KmsKey | PublicKey | PrivateKey


def make_aes_key() -> str:
    """Return a new line of a key file: 32 random bytes in base64."""
    return base64.b64encode(os.urandom(_AES_BYTES)).decode()


def read_aes_keys(path: Path) -> Sequence[AesKey]:
    """
    Read a key file: one key a line, 32 bytes in base64; the first seals, all of them open.

    Empty lines and lines that begin with # are skipped. KeyFileError.
    """
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(
            f"the key file of secrets {path} cannot be read; check the path and its permissions"
        ) from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    keys = [
        AesKey(_parse_aes_key(line, path, number))
        for number, line in lines
        if line and not line.startswith("#")
    ]
    if not keys:
        raise KeyFileError(
            f"the key file of secrets {path} holds no key; write one with `openssl rand -base64 32`"
        )
    return keys


def _parse_aes_key(line: str, path: Path, number: int) -> SecretBytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _AES_BYTES:
        raise KeyFileError(
            f"line {number} of the key file of secrets {path} is not 32 bytes in base64; "
            "make one with `openssl rand -base64 32`"
        )
    return SecretBytes(key)


def _digest(purpose: bytes, key: bytes) -> str:
    return hashlib.sha256(purpose + key).hexdigest()[:_NAME_DIGITS]
