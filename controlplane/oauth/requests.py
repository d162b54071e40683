"""Reads OAuth2 requests: bounded, each parameter once, of characters that errors may quote."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from starlette.requests import Request

MAX_BODY_BYTES = 16 * 1024
MAX_PARAMETERS = 40

_FORM = "application/x-www-form-urlencoded"
# RFC 6749, appendix A, without what must not be in an error description (5.2), where Authlib
# quotes parameters.
_VALUE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")


class BadRequestError(Exception):
    """The request is malformed; the text is for the client."""


class Payload(OAuth2Payload):
    """The parameters of one request."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = dict(parameters)

    @property
    def data(self) -> Mapping[str, str]:
        return self._parameters

    @property
    def datalist(self) -> Mapping[str, list[str]]:
        return {name: [value] for name, value in self._parameters.items()}


class AuthorizationRequest(OAuth2Request):
    """A request with its parameters, and the address that it came from."""

    def __init__(
        self, request: Request, parameters: Mapping[str, str], *, public_url: str, peer: str
    ) -> None:
        # The address of the service as configured: behind a proxy that ends TLS, the request's
        # own would be plain HTTP, which Authlib refuses.
        super().__init__(request.method, f"{public_url}{request.url.path}", headers=request.headers)
        self.payload = Payload(parameters)
        self.peer = peer

    @property
    def args(self) -> Mapping[str, str]:
        return self._parameters

    @property
    def form(self) -> Mapping[str, str]:
        return self._parameters

    @property
    def _parameters(self) -> Mapping[str, str]:
        payload: Any = self.payload
        data: Mapping[str, str] = payload.data
        return data


def parse_query(request: Request) -> Mapping[str, str]:
    """Parse the parameters of a query; BadRequestError if it is malformed."""
    return _parse(request.url.query)


async def read_form(request: Request) -> Mapping[str, str]:
    """Read the parameters of a form; BadRequestError if it is malformed or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise BadRequestError(f"send the parameters as {_FORM}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadRequestError(f"the form is larger than {MAX_BODY_BYTES} bytes")
    try:
        return _parse(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise BadRequestError("the form is not ASCII; percent-encode other characters") from error


def find_basic_credentials(request: OAuth2Request) -> tuple[str, str] | None:
    """
    Return the client's id and secret from an ``Authorization: Basic`` header; None without one.

    Both are percent-decoded (RFC 6749, 2.3.1). The SDK encodes the secret only; ids and secrets
    of API keys consist of characters that encoding leaves as they are.
    """
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    client_id, colon, secret = text.partition(":")
    if not colon:
        return None
    return unquote_plus(client_id), unquote_plus(secret)


def _parse(text: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        raise BadRequestError(
            f"the parameters are not UTF-8, or more than {MAX_PARAMETERS}"
        ) from error
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise BadRequestError("a parameter is in the request twice")
    for name, value in pairs:
        if not _VALUE.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadRequestError("a parameter has a character that OAuth 2.0 does not allow")
    return parameters
