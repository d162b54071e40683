"""
TLS of the agents' link: one port for agents with a certificate, one for those that enrol.

Two ports, because Python's gRPC either demands a client certificate or asks for none. Both show
the same server certificate. Changes reach handshakes from then on; open connections stay.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from controlplane.authn.agent_authority import AuthoritySet
from shared.kit.certificate_files import CertificateFiles
from shared.kit.certificates import KeyPair
from shared.kit.clock import Clock
from shared.kit.metrics import certificate_metrics


class LinkTls:
    """Server credentials of both ports, which follow the files and the agents' authorities."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        authorities: AuthoritySet,
        clock: Clock,
        metrics: CollectorRegistry,
    ) -> None:
        """CertificateError: the files cannot be used."""
        self._authorities = authorities
        self._files = CertificateFiles(certificate, key, clock)
        self._link = self._enrolment = _configure(self._files.pair)
        self._files.listen(lambda _: self.follow_authorities())
        certificate_metrics(
            metrics,
            "volary_link",
            "agents' ports",
            read_expiry=lambda: self._files.until,
            read_failed_reloads=lambda: self._files.failed_reloads,
        )

    def is_showing(self, certificate: bytes) -> bool:
        """Return whether new connections are shown this certificate chain (PEM)."""
        return self._files.pair.certificate == certificate

    async def run(self) -> None:
        """Read the files again when they change, until cancelled."""
        await self._files.run()

    def follow_authorities(self) -> None:
        """Trust the authorities that are known now, from the next handshake on."""
        pair = self._files.pair
        self._enrolment = _configure(pair)
        roots = self._authorities.roots()
        # gRPC takes no empty list: then no client certificate would be verified.
        self._link = _configure(pair, roots or pair.certificate)

    def link_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that demand a client certificate of one of the authorities."""
        return _credentials(lambda: self._link, demands_certificate=True)

    def enrolment_credentials(self) -> grpc.ServerCredentials:
        return _credentials(lambda: self._enrolment, demands_certificate=False)


def _configure(pair: KeyPair, roots: bytes | None = None) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], roots)


def _credentials(
    read: Callable[[], grpc.ServerCertificateConfiguration], *, demands_certificate: bool
) -> grpc.ServerCredentials:
    """Return credentials that follow ``read``, which gRPC calls at handshakes, on its threads."""
    given = first = read()

    def fetch() -> Any:  # None: unchanged; the stubs lack it
        nonlocal given
        current = read()
        if current is given:
            return None
        given = current
        return current

    return grpc.dynamic_ssl_server_credentials(
        first, fetch, require_client_authentication=demands_certificate
    )
