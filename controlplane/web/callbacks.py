"""
Serves the addresses that answer conditions, under ``/callbacks/…``.

The address is the credential. Only POST answers: a program that shows previews of links sends GET.
"""

from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from controlplane.core.callbacks import PREFIX
from controlplane.core.errors import (
    BusyError,
    ConflictError,
    InvalidError,
    NotFoundError,
    NotReadyError,
    UnavailableError,
)
from controlplane.usecases.callbacks import Callbacks, GoneError

MAX_BODY_BYTES = 64 * 1024

_STATUSES: Mapping[type[Exception], int] = {
    InvalidError: 400,
    NotFoundError: 404,
    ConflictError: 409,
    NotReadyError: 409,
    GoneError: 410,
    BusyError: 503,
    UnavailableError: 503,
}
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}  # it is a credential


class CallbackRoutes:
    """The routes under ``/callbacks``."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks

    def routes(self) -> list[Route]:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        return [Route(f"{PREFIX}/{{path:path}}", self._answer, methods=methods, name="callbacks")]

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            return _respond(
                405,
                "this address answers a condition of a run: send the value as JSON by POST",
                {"Allow": "POST"},
            )
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return _respond(413, f"the value must have at most {MAX_BODY_BYTES} bytes")
        except ClientDisconnect:
            return _respond(400, "the body ended early; send it again")
        peer = f"{request.client.host}:{request.client.port}" if request.client else ""
        query = dict(request.query_params)
        try:
            await self._callbacks.answer(request.path_params["path"], query, bytes(body), peer)
        except tuple(_STATUSES) as error:
            return _respond(
                next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES),
                str(error),
            )
        return _respond(200, "the condition is answered")


def _respond(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        {"message": message}, status_code=status, headers={**_HEADERS, **(headers or {})}
    )
