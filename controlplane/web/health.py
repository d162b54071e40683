"""Probes and metrics: alive, ready, and numbers for Prometheus."""

import asyncio
import logging
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.core.errors import UnavailableError

logger = logging.getLogger(__name__)

PING_SECONDS = 3
"""Less than a probe waits, so that it hears why."""


class Pinged(Protocol):
    """The database, as far as a probe cares."""

    async def ping(self) -> None:
        """Raise UnavailableError when it does not answer."""
        ...


class Health:
    """
    ``/healthz`` answers as long as this process answers anything: restarting it would not
    bring Postgres back. ``/readyz`` says whether new calls would do well to come here.
    ``database`` is a pool of its own: a probe never waits for connections that callers use.
    """

    def __init__(self, database: Pinged, metrics: CollectorRegistry) -> None:
        self._database = database
        self._metrics = metrics
        self._is_stopping = False

    def stop(self) -> None:
        """Say "not ready" from now on, so that new calls go elsewhere while this one ends."""
        self._is_stopping = True

    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self._live),
            Route("/readyz", self._ready),
            Route("/metrics", self._numbers),
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

    async def _numbers(self, _request: Request) -> Response:
        return Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)


def _not_ready(reason: str) -> Response:
    logger.warning("not ready", extra={"reason": reason})
    return PlainTextResponse(f"not ready: {reason}\n", status_code=503)
