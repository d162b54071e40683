"""The API by TLS, with small limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from controlplane.authn.authenticator import Authenticator
from controlplane.core.signing import Grant, Method, SigningKey, SigningKeys, sign
from controlplane.web.http_limits import HttpLimits
from controlplane.web.tls import PortCertificate
from shared.kit.certificate_files import CertificateFiles
from shared.kit.clock import SystemClock
from tests.integration.api.client import ApiUnderTest, open_api
from tests.running import running
from tests.servers.tls import TlsFiles, make_files

KEYS = SigningKeys(current=SigningKey(b"k" * 32))
LIMITS = HttpLimits(
    connections=40,
    connections_per_address=20,
    head_bytes=16 * 1024,
    head_within=timedelta(seconds=1),
    streams=30,
)


@dataclass(frozen=True, slots=True)
class Served:
    api: ApiUnderTest
    files: TlsFiles
    certificate: PortCertificate

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.api.url)
        assert url.hostname
        assert url.port
        return url.hostname, url.port


async def put_blob(served: Served, path: str, body: bytes) -> str:
    """Store a blob; return its signed path and query."""
    await served.api.blobs.write(served.api.blobs.uri(path), body)
    expires_at = SystemClock().now() + timedelta(hours=1)
    return sign(Grant(method=Method.GET, path=path, expires_at=expires_at), KEYS)


@asynccontextmanager
async def serve(
    database_url: str,
    tmp_path: Path,
    *,
    limits: HttpLimits = LIMITS,
    authn: Authenticator | None = None,
) -> AsyncIterator[Served]:
    files = make_files(tmp_path / "tls")
    certificate = PortCertificate(
        CertificateFiles(files.certificate, files.key, SystemClock()), CollectorRegistry()
    )
    blobs = tmp_path / "blobs"
    async with (
        open_api(database_url, blobs, limits=limits, authn=authn, tls=certificate.context) as api,
        running(certificate),
    ):
        yield Served(api, files, certificate)
