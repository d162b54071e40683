"""The one HTTP application: flyteidl2's services, signed blobs, pages, probes."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

RPC_PREFIX = "/flyteidl2."


def make_application(*, public: ASGIApp, routes: Sequence[BaseRoute]) -> ASGIApp:
    """Send every RPC to ``public``, and everything else where ``routes`` say."""
    others = Starlette(routes=routes)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # Before any routing: RPCs are nearly all there is, and their names are looked up by
        # the application that serves them.
        if scope["type"] == "http" and scope["path"].startswith(RPC_PREFIX):
            await public(scope, receive, send)
        else:
            await others(scope, receive, send)

    return application
