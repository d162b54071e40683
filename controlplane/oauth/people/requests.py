"""Reads what browsers send to the pages of people."""

from starlette.requests import Request

from controlplane.core.errors import ExhaustedError
from controlplane.oauth.endpoints import peer_of
from controlplane.oauth.people.cookies import SESSION, find_cookie
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.requests import BadRequestError
from controlplane.usecases.identity.browser_logins import Browser

_MAX_PARAMETER = 4_096


def once(request: Request, name: str) -> str:
    """Return a parameter of the query, "" without it; BadRequestError if it is there twice."""
    values = request.query_params.getlist(name)
    if len(values) > 1 or len(values[0] if values else "") > _MAX_PARAMETER:
        raise BadRequestError(f"the parameter {name} is there twice, or too long")
    return values[0] if values else ""


def browser_of(request: Request) -> Browser:
    return Browser(
        peer=peer_of(request),
        name=request.headers.get("user-agent", ""),
        session=find_cookie(request, SESSION),
    )


def require_admitted(limits: RateLimits, request: Request, what: str) -> None:
    """Count a request of an address; ExhaustedError if it sends too many."""
    if limits.admit(peer_of(request), what):
        raise ExhaustedError("your network sends too many requests; wait a minute")
