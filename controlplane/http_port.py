"""
Builds what listens on the HTTP port: both APIs, pages, the console, signed blobs, probes.

A part of ``main``.
"""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from starlette.routing import Route

from controlplane.api.resources.server import ResourceApi
from controlplane.api.server import PublicApi
from controlplane.logins import Logins
from controlplane.people import is_linked
from controlplane.settings import Settings
from controlplane.web import openapi, tls
from controlplane.web.app import make_application
from controlplane.web.console import Console, FindOrigin, find_release, read_console
from controlplane.web.metrics import HttpMetrics
from controlplane.web.origins import OriginCheck
from controlplane.web.pages import Pages
from controlplane.web.security_headers import SecurityHeaders
from controlplane.web.serving import HttpServer
from controlplane.web.tls import PortCertificate
from shared.kit.clock import Clock


class HttpPort:
    """The server, and its certificate if it speaks TLS; it listens from the start."""

    def __init__(self, server: HttpServer, certificate: PortCertificate | None) -> None:
        self.port = server.port
        self._server = server
        self._certificate = certificate

    async def run(self) -> None:
        """Serve until cancelled; read the certificate again when its files change."""
        async with asyncio.TaskGroup() as tasks:
            reading = None
            if self._certificate is not None:
                reading = tasks.create_task(self._certificate.run(), name="certificate")
            try:
                await self._server.run()
            finally:
                if reading is not None:
                    reading.cancel()


def make_http(
    settings: Settings,
    public: PublicApi,
    *,
    clock: Clock,
    metrics: CollectorRegistry,
    pages: Pages,
    find_blob_origin: FindOrigin,
    routes: Sequence[Route],
    logins: Logins | None,
) -> HttpPort:
    """
    Bind the port; ``routes`` are served beside those made here.

    OSError: the address is taken. CertificateError: the certificate cannot be used.
    """
    public_url = settings.listeners.public_url
    built = read_console()
    console = Console(pages, built, find_blob_origin).routes()
    login_pages = [] if logins is None else logins.routes
    application = make_application(
        public=public,
        resources=ResourceApi(public),
        routes=[
            *routes,
            *openapi.routes(),
            # The first is what "/" leads to.
            *([*login_pages, *console] if built is None else [*console, *login_pages]),
        ],
        is_linked=is_linked if logins is not None else lambda _: False,
        origin_check=OriginCheck(public_url),
        security_headers=SecurityHeaders(
            public_url, release=find_release() if built is None else built.release
        ),
        peers=tls.make_peers(settings.listeners.tls),
        metrics=HttpMetrics(metrics),
    )
    certificate = tls.open_certificate(settings.listeners.tls, clock, metrics)
    server = HttpServer(
        application,
        settings.listeners.host,
        settings.listeners.http_port,
        before_stop=public.end_streams,
        limits=settings.http_limits,
        tls=None if certificate is None else certificate.context,
    )
    return HttpPort(server, certificate)
