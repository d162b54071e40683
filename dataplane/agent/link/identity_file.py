"""Keeps an agent's identity in a file that only its user may read."""

import asyncio
import os
from pathlib import Path

from dataplane.agent.link.identity import IdentityError

_MAX_BYTES = 256 * 1024


class IdentityFile:
    """Replaces the file as a whole, so that a crash leaves the old or the new document."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    async def load(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    async def save(self, document: bytes) -> None:
        await asyncio.to_thread(self._write, document)

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IdentityError(f"{self._path} cannot be read: {error.strerror}") from error

    def _write(self, document: bytes) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise IdentityError(f"{self._path} cannot be written: {error.strerror}") from error
