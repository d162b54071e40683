"""
Key pairs of clusters: P-256, made by the agent; the private half never leaves its cluster.

A file of private keys holds one PEM block after the other; the first is announced to the control
plane, all of them open, so that a new pair may be put before the old one.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.kit.secrets import SecretBytes
from shared.secrets.keyrings import KeyFileError, PrivateKey, PublicKey

_BLOCK = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----\s*", re.DOTALL)
MAX_PUBLIC_KEY_BYTES = 256  # of a P-256 SubjectPublicKeyInfo: 91


def make_private_key() -> PrivateKey:
    """Make a new key pair."""
    return _describe(ec.generate_private_key(ec.SECP256R1()))


def parse_private_keys(pem: bytes, origin: str) -> Sequence[PrivateKey]:
    """Parse PEM blocks; KeyFileError names ``origin`` if there is none or one is not P-256."""
    blocks = _BLOCK.findall(pem)
    if not blocks:
        raise KeyFileError(
            f"{origin} holds no private key; delete it, and the agent makes a new one: secrets "
            "sealed to the old one must then be updated"
        )
    return [_parse(block, origin) for block in blocks]


def open_private_keys(path: Path) -> Sequence[PrivateKey]:
    """Read the file of private keys, or make it with one new key, mode 0600; KeyFileError."""
    try:
        return parse_private_keys(path.read_bytes(), str(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    made = make_private_key()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made.pem.reveal())
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error
    return [made]


def is_public_key(der: bytes) -> bool:
    """Return whether these bytes are the SubjectPublicKeyInfo of a P-256 key."""
    if len(der) > MAX_PUBLIC_KEY_BYTES:
        return False
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _parse(block: bytes, origin: str) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(block, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"a private key in {origin} cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"a private key in {origin} is not of the curve P-256")
    return _describe(key)


def _describe(key: ec.EllipticCurvePrivateKey) -> PrivateKey:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PrivateKey(SecretBytes(pem), PublicKey(der))
