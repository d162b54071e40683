"""
Interface to envelopes: seal a value for a secret's full name, open it for that name only.

The org, project, domain and name are the envelope's required encryption context: they are
authenticated, not stored, and an envelope that is moved to another secret does not open.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName
from shared.secrets.keyrings import Key, PrivateKey, PublicKey

MAX_SEALERS = 250
"""Most keys that one envelope is sealed to: one for each cluster of an org."""


class EnvelopeError(Exception):
    """The envelope does not open for this name with these keys, or it was altered."""


class KeyUnavailableError(Exception):
    """A key cannot be used now: its service refuses or does not answer."""


class Envelopes(Protocol):
    """Seals and opens the values of secrets."""

    async def seal(self, name: SecretName, value: SecretBytes, *, version: int) -> bytes:
        """Return the envelope; KeyUnavailableError."""

    async def open(self, name: SecretName, envelope: bytes) -> SecretBytes:
        """Return the value; EnvelopeError, KeyUnavailableError."""


class KeyringEnvelopes:
    """
    Seals so that each of ``sealers`` opens alone; opens with any of ``openers``.

    Each call takes milliseconds of a thread; the first one imports the library, a second.
    """

    def __init__(self, sealers: Sequence[Key] = (), openers: Sequence[Key] = ()) -> None:
        if len(sealers) > MAX_SEALERS:
            raise ValueError(f"{len(sealers)} keys to seal to; at most {MAX_SEALERS}")
        self._sealers = [each for each in sealers if not isinstance(each, PrivateKey)]
        self._openers = [each for each in openers if not isinstance(each, PublicKey)]

    def __repr__(self) -> str:
        return f"<KeyringEnvelopes {[each.name for each in self._sealers]}>"

    async def seal(self, name: SecretName, value: SecretBytes, *, version: int) -> bytes:
        if not self._sealers:
            raise KeyUnavailableError("there is no key to seal with")
        return await asyncio.to_thread(_seal, self._sealers, name, value, version)

    async def open(self, name: SecretName, envelope: bytes) -> SecretBytes:
        if not self._openers:
            raise EnvelopeError(f"there is no key to open secret {name} with")
        return await asyncio.to_thread(_open, self._openers, name, envelope)


def _seal(sealers: Sequence[Key], name: SecretName, value: SecretBytes, version: int) -> bytes:
    from shared.secrets import library  # noqa: PLC0415 - a second and 74 MB, at the first secret

    return library.seal(sealers, name, value, version)


def _open(openers: Sequence[Key], name: SecretName, envelope: bytes) -> SecretBytes:
    from shared.secrets import library  # noqa: PLC0415 - a second and 74 MB, at the first secret

    return library.open_envelope(openers, name, envelope)
