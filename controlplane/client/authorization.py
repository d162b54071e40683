"""
Client of the authorization server (docs/logins.md): discovery, codes, devices, keys, refreshes.

RFC 6749, 7636 (PKCE), 8252 (loopback), 8414 (metadata), 8628 (devices), 7009 (revocation).
"""

import base64
import binascii
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from controlplane.client.addresses import Address, parse_address
from controlplane.client.errors import ClientError, LoginRequiredError, UnreachableError
from controlplane.client.http import Answer, Connection
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText

CLIENT_ID = "volary"
_METADATA = "/.well-known/oauth-authorization-server"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_TRIES = 3
_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """An access token, and when it expires; a refresh token if it came with one."""

    access_token: SecretText
    expires_at: float  # seconds since 1970, by this machine's clock
    refresh_token: SecretText

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the access token, for display: nothing rests on them."""
        try:
            part = self.access_token.reveal().split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (IndexError, ValueError):
            return {}
        return claims if isinstance(claims, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device login that waits for a person."""

    code: SecretText
    user_code: str
    uri: str
    interval: float
    expires_in: float


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A service account's key, in the SDK's format."""

    host: str
    client_id: str
    secret: SecretText
    org: str


def parse_api_key(text: SecretText) -> ApiKey:
    """Parse base64 of ``host:client_id:secret:org``; the error does not show the key."""
    try:
        parts = base64.b64decode(text.reveal().strip(), validate=True).decode().rsplit(":", 3)
        host, client_id, secret, org = parts
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ClientError(
            "the API key is not in the form that `volary apikey create` prints"
        ) from error
    return ApiKey(host, client_id, SecretText(secret), "" if org == "None" else org)


def new_challenge() -> tuple[SecretText, str]:
    """Return a PKCE verifier and its S256 challenge."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return SecretText(verifier), base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class AuthorizationServer:
    """The authorization server of one control plane."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def has_logins(self) -> bool:
        """Return whether one logs in here; ClientError if this is another server's address."""
        answer = self._connection.get(_METADATA)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        issuer = (answer.body or {}).get("issuer")
        if answer.status != HTTPStatus.OK or not isinstance(issuer, str):
            raise _unexpected(answer, self._connection.address)
        if parse_address(issuer) != self._connection.address:
            raise ClientError(
                f"the control plane at {self._connection.address.url} has the address {issuer}; "
                f"run `volary login {issuer}`"
            )
        return True

    def authorize_url(self, *, redirect_uri: str, state: str, challenge: str) -> str:
        """Return the address that a person opens in a browser."""
        query = urlencode(
            {
                "response_type": "code",
                "client_id": CLIENT_ID,
                "redirect_uri": redirect_uri,
                "scope": "all",
                "state": state,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return f"{self._connection.address.url}/oauth2/authorize?{query}"

    def redeem(self, code: SecretText, *, redirect_uri: str, verifier: SecretText) -> Tokens:
        """Exchange an authorization code."""
        return self._token(
            {
                "grant_type": "authorization_code",
                "client_id": CLIENT_ID,
                "code": code.reveal(),
                "redirect_uri": redirect_uri,
                "code_verifier": verifier.reveal(),
            }
        )

    def refresh(self, token: SecretText) -> Tokens:
        """
        Replace a refresh token; LoginRequiredError if the login has ended.

        Without an answer it is sent again at once: for some seconds the server gives the same
        successor for it, and later it would take a second use for a theft.
        """
        form = {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "refresh_token": token.reveal(),
        }
        for _ in range(_TRIES - 1):
            try:
                return self._token(form)
            except UnreachableError:
                continue
        return self._token(form)

    def exchange_key(self, key: ApiKey) -> Tokens:
        """Exchange an API key for an access token; LoginRequiredError if it is not accepted."""
        pair = f"{quote(key.client_id, safe='')}:{quote(key.secret.reveal(), safe='')}"
        basic = base64.b64encode(pair.encode()).decode()
        return self._token(
            {"grant_type": "client_credentials"}, {"authorization": f"Basic {basic}"}
        )

    def revoke(self, token: SecretText) -> None:
        """End the login of a refresh token; nothing happens if it has ended already."""
        answer = self._connection.post_form(
            "/oauth2/revoke", {"client_id": CLIENT_ID, "token": token.reveal()}
        )
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer, self._connection.address)

    def start_device(self) -> Device:
        answer = self._connection.post_form(
            "/oauth2/device", {"client_id": CLIENT_ID, "scope": "all"}
        )
        body = answer.body or {}
        if answer.status != HTTPStatus.OK or not body.get("device_code"):
            raise _refusal(answer, self._connection.address)
        return Device(
            code=SecretText(str(body["device_code"])),
            user_code=str(body.get("user_code", "")),
            uri=str(body.get("verification_uri", "")),
            interval=max(1.0, float(body.get("interval") or 5)),
            expires_in=float(body.get("expires_in") or 600),
        )

    def wait_for_device(
        self, device: Device, sleep: Callable[[float], None] = time.sleep
    ) -> Tokens:
        """Poll until a person has decided; ClientError if they deny, or the code expires."""
        interval, until = device.interval, time.monotonic() + device.expires_in
        form = {
            "grant_type": _DEVICE_GRANT,
            "client_id": CLIENT_ID,
            "device_code": device.code.reveal(),
        }
        while time.monotonic() < until:
            sleep(interval)
            try:
                answer = self._connection.post_form("/oauth2/token", form)
            except UnreachableError:
                interval = min(interval * 2, _LONGEST_WAIT)  # RFC 8628, 3.5
                continue
            error = (answer.body or {}).get("error")
            match error:
                case None if answer.status == HTTPStatus.OK:
                    return _tokens(answer, self._connection.address)
                case "authorization_pending":
                    continue
                case "slow_down":
                    interval = min(max(interval + 5, answer.retry_after), _LONGEST_WAIT)
                case "temporarily_unavailable":
                    interval = min(interval * 2, _LONGEST_WAIT)
                case "access_denied":
                    raise ClientError("the login was not allowed in the browser")
                case "expired_token":
                    break
                case _:
                    raise _refusal(answer, self._connection.address)
        raise ClientError("the code has expired; run `volary login` again")

    def _token(self, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Tokens:
        answer = self._connection.post_form("/oauth2/token", form, headers)
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer, self._connection.address)
        return _tokens(answer, self._connection.address)


def _tokens(answer: Answer, address: Address) -> Tokens:
    body = answer.body or {}
    token = body.get("access_token")
    if not isinstance(token, str) or not token:
        raise _unexpected(answer, address)
    lifetime = body.get("expires_in")
    seconds = float(lifetime) if isinstance(lifetime, int | float) else 60.0
    return Tokens(
        access_token=SecretText(token),
        expires_at=SystemClock().now().timestamp() + seconds,
        refresh_token=SecretText(str(body.get("refresh_token") or "")),
    )


def _refusal(answer: Answer, address: Address) -> ClientError:
    """Return the error of an OAuth answer, in the words of the server."""
    error = (answer.body or {}).get("error")
    if not isinstance(error, str):
        return _unexpected(answer, address)
    description = str((answer.body or {}).get("error_description") or error)
    if error in {"invalid_grant", "invalid_client"}:
        return LoginRequiredError(f"{address.url} refused the login: {description}")
    if error in {"slow_down", "temporarily_unavailable"}:
        return UnreachableError(f"{address.url} cannot answer now: {description}")
    return ClientError(f"{address.url} refused the login: {error}: {description}")


def _unexpected(answer: Answer, address: Address) -> ClientError:
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnreachableError(f"{address.url} answers with status {answer.status}; try again")
    return ClientError(
        f"{address.url} answers with status {answer.status}, and not as a control plane does; "
        "check the address"
    )
