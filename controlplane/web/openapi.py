"""Serves the OpenAPI document of the platform API to everyone: it describes, and shows no data."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/openapi/platform.v1.json"
_HEADERS = {"cache-control": "public, max-age=300"}


def routes() -> list[Route]:
    """Read the document once, and return the route that serves it."""
    document = (files("shared") / "idl/platform/v1/openapi.json").read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(document, media_type="application/json", headers=_HEADERS)

    return [Route(PATH, serve)]
