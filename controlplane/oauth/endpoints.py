"""
Endpoints that programs call: token, device, revoke, introspect, keys, metadata.

Answers are JSON, errors are OAuth 2.0's. A request is admitted by its address and credential
before anything is looked up.
"""

import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from controlplane.authn.signing_keys import JWKS_MAX_AGE, NoSigningKeyError, TokenKeySet
from controlplane.core.errors import ExhaustedError, UnavailableError
from controlplane.core.oauth import DEVICE, INTROSPECT, JWKS, REVOKE, TOKEN
from controlplane.oauth import metadata
from controlplane.oauth.greenlets import run_in_greenlet
from controlplane.oauth.metrics import OAuthMetrics
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.requests import (
    AuthorizationRequest,
    BadRequestError,
    find_basic_credentials,
    read_form,
)
from controlplane.oauth.server import (
    DEVICE_AUTHORIZATION,
    INTROSPECTION,
    REVOCATION,
    Answer,
    OAuthServer,
)
from shared.kit.clock import Clock
from shared.kit.outside_logs import OutsideLog

log = logging.getLogger(__name__)
outside = OutsideLog(log)

_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
_PUBLIC = {"cache-control": f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"}
_SECRETS = ("refresh_token", "code", "device_code", "token")
_WAITING = frozenset({"authorization_pending", "slow_down"})
_RETRY = timedelta(seconds=2)


class Endpoints:
    """Routes of the endpoints that programs call."""

    def __init__(
        self,
        server: OAuthServer,
        keys: TokenKeySet,
        limits: RateLimits,
        metrics: OAuthMetrics,
        clock: Clock,
    ) -> None:
        self._server = server
        self._keys = keys
        self._limits = limits
        self._metrics = metrics
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(TOKEN, self._token, methods=["POST"]),
            Route(DEVICE, self._endpoint(DEVICE_AUTHORIZATION), methods=["POST"]),
            Route(REVOKE, self._endpoint(REVOCATION), methods=["POST"]),
            Route(INTROSPECT, self._endpoint(INTROSPECTION), methods=["POST"]),
            Route(JWKS, self._jwks, methods=["GET"]),
            *(Route(path, self._metadata, methods=["GET"]) for path in metadata.WELL_KNOWN),
        ]

    async def _token(self, request: Request) -> Response:
        return await self._answer("token", request, self._server.create_token_response)

    def _endpoint(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        def create(request: AuthorizationRequest) -> Response:
            response: Response = self._server.create_endpoint_response(name, request)
            return response

        async def answer(request: Request) -> Response:
            return await self._answer(name, request, create)

        return answer

    async def _jwks(self, _request: Request) -> Response:
        return JSONResponse(self._keys.jwks(self._clock.now()), headers=_PUBLIC)

    async def _metadata(self, _request: Request) -> Response:
        return JSONResponse(metadata.describe(self._server.state.public_url), headers=_PUBLIC)

    async def _answer(
        self, endpoint: str, request: Request, create: Callable[[AuthorizationRequest], Response]
    ) -> Response:
        """Admit a request, answer it, and charge its address if it failed."""
        peer = peer_of(request)
        try:
            form = await read_form(request)
        except BadRequestError as error:
            self._metrics.ended(endpoint, "invalid_request")
            self._limits.failed(peer, "")
            return error_response(HTTPStatus.BAD_REQUEST, "invalid_request", str(error))
        asked = AuthorizationRequest(
            request, form, public_url=self._server.state.public_url, peer=peer
        )
        credential = _name_credential(asked, form)
        wait = self._limits.admit(peer, credential)
        if wait:
            self._metrics.ended(endpoint, "slow_down")
            outside.info("credential endpoint limited", extra={"endpoint": endpoint, "peer": peer})
            return too_many(wait)
        try:
            response = await run_in_greenlet(create, asked)
        except ExhaustedError as error:
            self._metrics.ended(endpoint, "slow_down")
            return too_many(timedelta(seconds=60), str(error))
        except (UnavailableError, NoSigningKeyError) as error:
            log.warning("credential endpoint unavailable", extra={"error": str(error)})
            self._metrics.ended(endpoint, "temporarily_unavailable")
            return error_response(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "the service cannot answer now; try again",
                retry_after=_RETRY,
            )
        outcome = _outcome(response)
        self._metrics.ended(endpoint, outcome)
        if outcome == "ok":
            self._limits.succeeded(peer, credential)
        elif outcome not in _WAITING:
            self._limits.failed(peer, credential)
            outside.info(
                "credential refused",
                extra={"endpoint": endpoint, "outcome": outcome, "peer": peer},
            )
        return response


def peer_of(request: Request) -> str:
    """Return the address of a request's client; "" if the server does not know it."""
    return "" if request.client is None else request.client.host


def error_response(
    status: HTTPStatus, error: str, description: str, *, retry_after: timedelta | None = None
) -> JSONResponse:
    headers = dict(_NO_STORE)
    if retry_after is not None:
        headers["retry-after"] = str(math.ceil(retry_after.total_seconds()))
    body = {"error": error, "error_description": description}
    return JSONResponse(body, status_code=status, headers=headers)


def too_many(wait: timedelta, reason: str = "too many requests; wait and try again") -> Response:
    """Answer 429; the SDK's device flow takes it as "later"."""
    return error_response(
        HTTPStatus.TOO_MANY_REQUESTS, "slow_down", reason, retry_after=max(wait, _RETRY / 2)
    )


def _name_credential(request: AuthorizationRequest, form: Mapping[str, str]) -> str:
    """Return the id of an API key, or the prefix of a token's digest: what a budget is of."""
    basic = find_basic_credentials(request)
    if basic is not None:
        return basic[0]
    if form.get("client_secret"):
        return form.get("client_id", "")
    secret = next((form[name] for name in _SECRETS if form.get(name)), "")
    return hashlib.sha256(secret.encode()).hexdigest()[:16] if secret else ""


def _outcome(response: Response) -> str:
    return (response.error if isinstance(response, Answer) else "") or "ok"
