"""Shows people why a page cannot do what they asked, with what to do."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from controlplane.core.browser_sessions import LOGIN, ORGS
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    NotAllowedError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from controlplane.core.identity_providers import LoginError
from controlplane.oauth.html import link, page, problem
from controlplane.oauth.requests import BadRequestError
from shared.kit.outside_logs import OutsideLog

log = logging.getLogger(__name__)
outside = OutsideLog(log)

Handler = Callable[[Request], Awaitable[Response]]

_STATUSES: Mapping[type[Exception], HTTPStatus] = {
    AlreadyExistsError: HTTPStatus.CONFLICT,
    ConflictError: HTTPStatus.CONFLICT,
    ExhaustedError: HTTPStatus.TOO_MANY_REQUESTS,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
}


def with_error_pages(handler: Handler) -> Handler:
    """Return the handler with its errors shown as pages."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except LoginError as error:
            outside.info("login failed", extra={"path": request.url.path, "why": str(error)})
            status = HTTPStatus.BAD_REQUEST
            if error.is_temporary:
                status = HTTPStatus.SERVICE_UNAVAILABLE
            body = problem(f"You are not logged in: {error}.") + link(LOGIN, "Log in again")
            return page("The login did not work", body, status=status)
        except BadRequestError as error:
            return _error_page(str(error), HTTPStatus.BAD_REQUEST)
        except UnavailableError:
            return _error_page(
                "the service cannot answer now; try again in a moment",
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        except RequestError as error:
            status = _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
            return _error_page(str(error), status)

    return handle


def _error_page(message: str, status: HTTPStatus) -> Response:
    body = problem(f"{message[:1].upper()}{message[1:].rstrip('.')}.")
    return page("That did not work", body + link(ORGS, "Go to your orgs"), status=status)
