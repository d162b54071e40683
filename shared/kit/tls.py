"""Contexts of TLS servers, and loading certificates into them."""

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared.kit.certificates import KeyPair

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; HTTP/2 forbids the others


def make_server_context(alpn: Sequence[str]) -> ssl.SSLContext:
    """Make a context for TLS 1.2 and 1.3 that prefers the first of ``alpn``; it has no pair yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(list(alpn))
    return context


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """
    Use the pair for handshakes from now on; open connections stay.

    From memory files: a key that was made in memory is never on a disk.
    """
    with _memory_file(pair.certificate) as certificate, _memory_file(pair.key) as key:
        context.load_cert_chain(certificate, key)


@contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("volary-tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
