"""Certificates in files that change while a server runs: reads them again, keeps the last valid."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shared.kit.certificates import CertificateError, KeyPair
from shared.kit.clock import Clock
from shared.kit.file_changes import watch_files
from shared.kit.tls import load_pair, make_server_context

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 1024 * 1024


class CertificateFiles:
    """
    A certificate chain and its key in two PEM files, read again when the files change.

    ``pair`` is the last pair that was valid. A new pair that cannot be used (unreadable, expired,
    a key of another certificate) is logged and counted, and the one before stays. Files are
    often replaced one after the other, so a pair may not match for a moment.
    """

    def __init__(self, certificate: Path, key: Path, clock: Clock) -> None:
        """Read both files; CertificateError names the one that cannot be used."""
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._listeners: list[Callable[[KeyPair], None]] = []
        self.failed_reloads = 0
        self._failure = ""  # of the pair in the files now, which was logged
        self.pair = self._read()
        self.until = _require_valid(self.pair, clock.now())

    def __repr__(self) -> str:
        return f"<CertificateFiles {self._certificate} until={self.until:%Y-%m-%dT%H:%M}>"

    def listen(self, listener: Callable[[KeyPair], None]) -> None:
        """Call with the current pair now, and with each later one."""
        self._listeners.append(listener)
        listener(self.pair)

    def reload(self) -> bool:
        """Read the files again; return whether there is a new pair and it can be used."""
        return self._adopt(self._try_read())

    async def run(self) -> None:
        """Reload when the files change, until cancelled."""
        async for _ in watch_files([self._certificate, self._key]):
            # In a thread: the file system may be a network's.
            self._adopt(await asyncio.to_thread(self._try_read))

    def _adopt(self, read: KeyPair | CertificateError) -> bool:
        if read == self.pair:
            self._failure = ""
            return False
        try:
            if isinstance(read, CertificateError):
                raise read
            until = _require_valid(read, self._clock.now())
        except CertificateError as error:
            self._note_failure(str(error))
            return False
        self._failure = ""
        self.pair, self.until = read, until
        for listener in self._listeners:
            listener(read)
        logger.info(
            "certificate reloaded",
            extra={"file": str(self._certificate), "until": until.isoformat()},
        )
        return True

    def _note_failure(self, reason: str) -> None:
        if reason == self._failure:
            return
        self._failure = reason
        self.failed_reloads += 1
        logger.error(
            "certificate not reloaded, the one before stays in use",
            extra={
                "file": str(self._certificate),
                "error": reason,
                "until": self.until.isoformat(),
            },
        )

    def _try_read(self) -> KeyPair | CertificateError:
        try:
            return self._read()
        except CertificateError as error:
            return error

    def _read(self) -> KeyPair:
        return KeyPair(_read_file(self._certificate), _read_file(self._key))


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise CertificateError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return content


def _require_valid(pair: KeyPair, now: datetime) -> datetime:
    """Return the end of a chain that a server can use now; CertificateError if it cannot."""
    try:
        chain = x509.load_pem_x509_certificates(pair.certificate)
    except ValueError as error:
        raise CertificateError("the certificate file holds no PEM certificate") from error
    try:
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(
            "the key file holds no PEM private key without a password"
        ) from error
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*encoding) != key.public_key().public_bytes(*encoding):
        raise CertificateError("the key is not that of the first certificate in its file")
    until = chain[0].not_valid_after_utc  # chains may end in a root that expired, and is not used
    if until <= now:
        raise CertificateError(f"the certificate expired at {until.isoformat()}; renew it")
    try:
        load_pair(make_server_context(["http/1.1"]), pair)
    except ssl.SSLError as error:
        raise CertificateError(f"OpenSSL refuses the certificate: {error.reason}") from error
    return until
