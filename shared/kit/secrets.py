"""
Values that must not be printed: tokens, keys, passwords.

They show as ``***`` in logs, tracebacks and formatted strings, and refuse to be pickled; only
:meth:`reveal` returns the value. At rest there is only a credential's SHA-256: its 256 random
bits cannot be guessed, so a slow hash would add cost and no protection.
"""

import hashlib
import hmac
import secrets
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", bound=str | bytes)

HIDDEN = "***"


class _Secret(Generic[T]):
    """A value that only ``reveal`` returns; equality takes the same time for every value."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """Return the value; never into a log, a message or an error."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied to another process")


class SecretText(_Secret[str]):
    """A secret string."""

    __slots__ = ()


class SecretBytes(_Secret[bytes]):
    """A secret byte string."""

    __slots__ = ()


def new_secret() -> SecretText:
    """Return a random credential: 256 bits as 43 characters of ``[A-Za-z0-9_-]``."""
    return SecretText(secrets.token_urlsafe(32))


def digest_of(secret: SecretText | SecretBytes) -> bytes:
    """Return the SHA-256, 32 bytes, by which a random credential is stored and found."""
    return hashlib.sha256(_bytes(secret.reveal())).digest()


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
