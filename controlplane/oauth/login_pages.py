"""
Pages on which a person logs in a program: the authorization endpoint, and the code of a device.

Nothing is done for a person without a form that they sent: it carries the token of their session,
and comes from a page of this service.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from controlplane.core.errors import NotFoundError, UnavailableError
from controlplane.core.oauth import AUTHORIZE, PUBLIC_CLIENTS
from controlplane.oauth import pages
from controlplane.oauth.endpoints import peer_of
from controlplane.oauth.greenlets import run_in_greenlet
from controlplane.oauth.login_gate import LoginGate, SignedIn
from controlplane.oauth.own_forms import require_own_form
from controlplane.oauth.rate_limits import RateLimits
from controlplane.oauth.requests import (
    AuthorizationRequest,
    BadRequestError,
    parse_query,
    read_form,
)
from controlplane.oauth.server import OAuthServer

DEVICE_PAGE = "/device"

_UNAVAILABLE = "The service cannot answer now; try again in a moment."


class LoginPages:
    """Routes of the authorization endpoint and of the page for device codes."""

    def __init__(self, server: OAuthServer, gate: LoginGate, limits: RateLimits) -> None:
        self._server = server
        self._gate = gate
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route(AUTHORIZE, self._authorize, methods=["GET", "POST"]),
            Route(DEVICE_PAGE, self._device, methods=["GET", "POST"]),
        ]

    async def _authorize(self, request: Request) -> Response:
        """Check the program's request, ask the person, and give the program a code."""
        try:
            parameters = parse_query(request)
            asked = AuthorizationRequest(
                request,
                parameters,
                public_url=self._server.state.public_url,
                peer=peer_of(request),
            )
            # Before the login: a person does not log in for a request that is refused.
            grant = await run_in_greenlet(self._server.get_consent_grant, asked)
        except BadRequestError as error:
            return pages.error_page(f"The program sent a wrong request: {error}.")
        except OAuth2Error as error:
            return pages.error_page(f"The program sent a wrong request: {_describe(error)}.")
        here = f"{AUTHORIZE}?{request.url.query}"
        try:
            signed_in = await self._gate.find_login(request, here)
            if not isinstance(signed_in, SignedIn):
                return signed_in
            if request.method == "GET":
                return pages.consent_page(signed_in, parameters["client_id"], here)
            decision = await _read_decision(request, signed_in)
            if decision != "allow":
                return _deny(parameters)
            return await run_in_greenlet(self._grant, asked, signed_in, grant)
        except BadRequestError as error:
            return pages.error_page(str(error))
        except UnavailableError:
            return pages.error_page(_UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)

    def _grant(self, asked: AuthorizationRequest, signed_in: SignedIn, grant: Any) -> Response:
        response: Response = self._server.create_authorization_response(
            asked, grant_user=signed_in.login, grant=grant
        )
        return response

    async def _device(self, request: Request) -> Response:
        """Ask for the code of a device, then whether it is allowed."""
        try:
            code = parse_query(request).get("user_code", "")
        except BadRequestError as error:
            return pages.error_page(str(error))
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        try:
            signed_in = await self._gate.find_login(request, here)
            if not isinstance(signed_in, SignedIn):
                return signed_in
            if request.method == "GET":
                return pages.device_code_page(signed_in, code, status=HTTPStatus.OK)
            return await self._decide(request, signed_in)
        except BadRequestError as error:
            return pages.error_page(str(error))
        except UnavailableError:
            return pages.error_page(_UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE)

    async def _decide(self, request: Request, signed_in: SignedIn) -> Response:
        form = await read_form(request)
        require_own_form(request, form, signed_in.csrf_token, signed_in.login.subject)
        code, peer = form.get("user_code", ""), peer_of(request)
        # Guessing codes is limited by address and person, before a code is looked up.
        person = f"{signed_in.login.org} {signed_in.login.subject}"
        if self._limits.admit(peer, person):
            return pages.device_code_page(
                signed_in,
                "",
                "Too many wrong codes; wait a minute.",
                status=HTTPStatus.TOO_MANY_REQUESTS,
            )
        devices = self._server.state.devices
        try:
            match form.get("decision", ""):
                case "allow":
                    await devices.decide(code, signed_in.login, approved=True)
                    return pages.message_page("Allowed", "The device is logged in in a moment.")
                case "deny":
                    await devices.decide(code, signed_in.login, approved=False)
                    return pages.message_page("Not allowed", "The device is not logged in.")
                case _:
                    found = await devices.find(code)
                    return pages.device_consent_page(signed_in, code, found)
        except NotFoundError:
            self._limits.failed(peer, person)
            return pages.device_code_page(
                signed_in,
                code,
                "No device waits with this code. Codes are valid for ten minutes and once.",
                status=HTTPStatus.NOT_FOUND,
            )


async def _read_decision(request: Request, signed_in: SignedIn) -> str:
    """Return which button was pressed; BadRequestError if the form is not one of our pages'."""
    form = await read_form(request)
    require_own_form(request, form, signed_in.csrf_token, signed_in.login.subject)
    return form.get("decision", "")


def _deny(parameters: Mapping[str, str]) -> Response:
    """Tell the program that it is not allowed, if it takes errors; its address was checked."""
    if not PUBLIC_CLIENTS[parameters["client_id"]].takes_errors:
        return pages.message_page(
            "Not allowed", "You can close this page, and stop the command (Ctrl-C)."
        )
    query = urlencode({
        "error": "access_denied",
        "error_description": "it was not allowed in the browser",
        "state": parameters.get("state", ""),
    })  # fmt: skip
    address = f"{parameters['redirect_uri']}?{query}"
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, headers={"cache-control": "no-store"})


def _describe(error: OAuth2Error) -> str:
    return str(error.get_error_description() or error.error).rstrip(".")
