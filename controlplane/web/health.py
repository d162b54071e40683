"""Serves liveness and readiness probes, and metrics for Prometheus."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.core.errors import UnavailableError
from controlplane.web.peers import Addresses
from controlplane.web.tls_settings import LOOPBACK, Network

logger = logging.getLogger(__name__)

PING_SECONDS = 3
"""Shorter than a probe's timeout, so that the probe gets the reason."""


class Pinged(Protocol):
    """The part of the database that a probe needs."""

    async def ping(self) -> None:
        """Raise UnavailableError when the database does not answer."""
        ...


class Health:
    """
    Serves ``/healthz``, ``/readyz`` and ``/metrics``.

    ``/healthz`` succeeds as long as this process answers at all: a restart would not bring
    Postgres back. ``/readyz`` fails while this replica should get no new calls.
    ``database`` is a separate pool: a probe never waits for connections that callers use.
    """

    def __init__(
        self,
        database: Pinged,
        metrics: CollectorRegistry,
        *,
        metrics_from: Sequence[Network] = LOOPBACK,
    ) -> None:
        """``metrics_from``: the addresses that may read metrics, which name RPCs and loads."""
        self._database = database
        self._metrics = metrics
        self._metrics_from = Addresses(metrics_from)
        self._is_stopping = False

    def stop(self) -> None:
        """Answer "not ready" from now on, so that new calls go to other replicas."""
        self._is_stopping = True

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self._live),
            Route("/readyz", self._ready),
            Route("/metrics", self._metrics_page),
        ]

    async def _live(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _request: Request) -> Response:
        if self._is_stopping:
            return PlainTextResponse("not ready: this replica is stopping\n", status_code=503)
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._database.ping()
        except UnavailableError as error:
            return _not_ready(str(error))
        except TimeoutError:
            return _not_ready(f"the database has not answered within {PING_SECONDS} s")
        return PlainTextResponse("ready\n")

    async def _metrics_page(self, request: Request) -> Response:
        if request.client is None or not self._metrics_from.contains(request.client.host):
            return PlainTextResponse(
                "metrics are served to the addresses of VOLARY_METRICS_FROM only\n", status_code=404
            )
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)


def _not_ready(reason: str) -> Response:
    logger.warning("not ready", extra={"reason": reason})
    return PlainTextResponse(f"not ready: {reason}\n", status_code=503)
