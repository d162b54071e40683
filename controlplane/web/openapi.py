"""Serves the OpenAPI documents of both APIs to everyone: they describe, and show no data."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/openapi/platform.v1.json"
RESOURCES = "/openapi/resources.v1.json"
_HEADERS = {"cache-control": "public, max-age=300"}


def routes() -> list[Route]:
    """Read the documents once, and return the routes that serve them."""
    return [
        _route(PATH, (files("shared") / "idl/platform/v1/openapi.json").read_bytes()),
        _route(RESOURCES, (files("controlplane") / "api/resources/openapi.json").read_bytes()),
    ]


def _route(path: str, document: bytes) -> Route:
    async def serve(_request: Request) -> Response:
        return Response(document, media_type="application/json", headers=_HEADERS)

    return Route(path, serve)
