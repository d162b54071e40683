"""The certificate of the HTTP port: a TLS context that follows its files, with metrics."""

import ssl

from prometheus_client import CollectorRegistry

from controlplane.web.peers import Peers
from controlplane.web.tls_settings import TlsSettings
from shared.kit.certificate_files import CertificateFiles
from shared.kit.clock import Clock
from shared.kit.metrics import certificate_metrics
from shared.kit.tls import load_pair, make_server_context

ALPN = ("h2", "http/1.1")


class PortCertificate:
    """``context`` always has the last valid pair of the files, while :meth:`run` runs."""

    def __init__(self, files: CertificateFiles, metrics: CollectorRegistry) -> None:
        self.context: ssl.SSLContext = make_server_context(ALPN)
        self._files = files
        files.listen(lambda pair: load_pair(self.context, pair))
        certificate_metrics(
            metrics,
            "volary_tls",
            "HTTP port",
            read_expiry=lambda: files.until,
            read_failed_reloads=lambda: files.failed_reloads,
        )

    async def run(self) -> None:
        """Read the files again when they change, until cancelled."""
        await self._files.run()


def open_certificate(
    settings: TlsSettings, clock: Clock, metrics: CollectorRegistry
) -> PortCertificate | None:
    """Read the certificate's files; None without TLS. CertificateError: they cannot be used."""
    if settings.files is None:
        return None
    return PortCertificate(CertificateFiles(*settings.files, clock), metrics)


def make_peers(settings: TlsSettings) -> Peers:
    return Peers(settings.trusted_proxies, requires_proxy=settings.plaintext_for_proxies)
