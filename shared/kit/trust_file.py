"""Trusted certificate authorities in a file that changes while a client runs."""

import asyncio
import logging
import ssl
from pathlib import Path

from shared.kit.certificates import CertificateError
from shared.kit.file_changes import watch_files

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 4 * 1024 * 1024


class TrustFile:
    """
    The authorities in a PEM file, read again when it changes.

    ``context`` is for connections that begin now; those that are open stay. What cannot be used
    (unreadable, no certificate) is logged, and the authorities before stay trusted.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; CertificateError."""
        self._path = path
        self._failure = ""
        self._text = self._read()
        self.context = _trusting(self._text, path)

    async def run(self) -> None:
        """Read the file again when it changes, until cancelled."""
        async for _ in watch_files([self._path]):
            # In a thread: the file system may be a network's.
            await asyncio.to_thread(self.reload)

    def reload(self) -> bool:
        """Read the file again; return whether it has other authorities, which are trusted now."""
        try:
            text = self._read()
            if text == self._text:
                self._failure = ""
                return False
            self.context = _trusting(text, self._path)
        except CertificateError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                logger.error(  # noqa: TRY400 - the error's text is the whole story
                    "authorities not reloaded, those before stay trusted",
                    extra={"file": str(self._path), "error": self._failure},
                )
            return False
        self._text, self._failure = text, ""
        logger.info("authorities reloaded", extra={"file": str(self._path)})
        return True

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise CertificateError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(content) > MAX_FILE_BYTES:
            raise CertificateError(f"{self._path} is larger than {MAX_FILE_BYTES} bytes")
        return content.decode("ascii", "ignore")  # comments may have other characters


def _trusting(text: str, path: Path) -> ssl.SSLContext:
    problem = f"{path} holds no certificates that can be read"
    if not text:  # ssl would trust the system's authorities
        raise CertificateError(problem)
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, TypeError, ValueError) as error:
        raise CertificateError(problem) from error
