"""Builds the ASGI application: RPCs of both APIs, the resource API, signed blobs, pages, probes."""

import logging
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.web import origins
from controlplane.web.metrics import HttpMetrics
from controlplane.web.origins import OriginCheck
from controlplane.web.peers import Peers
from controlplane.web.security_headers import SecurityHeaders

logger = logging.getLogger(__name__)

RPC_PREFIXES = ("/flyteidl2.", "/volary.platform.")
RESOURCE_PREFIX = "/api/v1/"


def make_application(
    *,
    public: ASGIApp,
    routes: Sequence[BaseRoute],
    origin_check: OriginCheck,
    resources: ASGIApp | None = None,
    security_headers: SecurityHeaders | None = None,
    peers: Peers | None = None,
    is_linked: Callable[[str], bool] = lambda _: False,
    metrics: HttpMetrics | None = None,
) -> ASGIApp:
    """
    Route every RPC to ``public``, the resource API to ``resources``, and others by ``routes``.

    A request that ``peers`` or ``origin_check`` refuses reaches neither. ``is_linked``: whether
    other sites may lead a person to the page of a path. ``metrics`` counts what is no RPC.
    """
    others: ASGIApp = Starlette(routes=routes)
    if metrics is not None:
        others = metrics.measured(others)
        resources = None if resources is None else metrics.measured(resources)
    peers = peers or Peers()
    security_headers = security_headers or SecurityHeaders("http://localhost")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"nothing is served over {scope['type']}")
        # Before any routing: nearly all requests are RPCs, and the application that serves them
        # looks their names up itself.
        is_rpc = scope["path"].startswith(RPC_PREFIXES)
        is_resource = resources is not None and scope["path"].startswith(RESOURCE_PREFIX)
        is_call = is_rpc or is_resource
        refusal = peers.find_refusal(scope)
        send = security_headers.add(scope, send, is_rpc=is_call)
        refusal = refusal or origin_check.find_refusal(
            scope["headers"], is_linked=scope["method"] == "GET" and is_linked(scope["path"])
        )
        if refusal is not None:
            await origins.answer(refusal, scope["path"], send, is_rpc=is_call)
        elif is_rpc:
            await public(scope, receive, send)
        elif is_resource and resources is not None:
            await resources(scope, receive, send)
        else:
            try:
                await others(scope, receive, send)
            except ClientDisconnect:  # within its request's body; nobody reads an answer
                logger.debug("client gone before its request ended", extra={"path": scope["path"]})

    return application
