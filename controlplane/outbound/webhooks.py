"""
Sends webhooks: one bounded request each, to public addresses, without following redirects.

The host is resolved and checked when the connection is made (``guard``); ``require_address``
refuses what is wrong in any case, so that a person sees it when the rule is given.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2

from controlplane.core.errors import InvalidError
from controlplane.core.notifications import Webhook
from controlplane.outbound.guard import ForbiddenError, GuardedTransport, Networks, is_in, is_public
from controlplane.outbound.results import Sent, failed, refused

TIMEOUT = timedelta(seconds=10)
"""Of a whole request: resolving, connecting, sending, and reading the answer."""
_LONGEST_RETRY_AFTER = 3600
_RETRIED = frozenset({408, 425, 429})


class Webhooks:
    """Sender of webhooks; shared by all deliveries of a replica."""

    def __init__(
        self, *, allow_http: bool = False, allowed: Networks = (), timeout: timedelta = TIMEOUT
    ) -> None:
        self._allow_http = allow_http
        self._allowed = allowed
        self._timeout = timeout
        self._transport = GuardedTransport(allowed=allowed)

    def require_address(self, url: str, field: str) -> None:
        """Raise InvalidError for an address that is never sent to."""
        parts = _split(url)
        if parts is None:
            raise InvalidError(f"{field}: is not an http:// or https:// address with a host")
        if parts.username is not None or parts.password is not None:
            raise InvalidError(f"{field}: must not hold a user or password; send them in a header")
        if parts.scheme == "http" and not self._allow_http:
            raise InvalidError(
                f"{field}: must begin with https://, because this installation does not allow http"
            )
        host = parts.hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            host = "127.0.0.1"
        try:
            ip_address(host)
        except ValueError:
            return  # a name: it is resolved when it is sent to
        if not (is_public(host) or is_in(host, self._allowed)):
            raise InvalidError(
                f"{field}: {parts.hostname} is not a public address; this installation sends to"
                " public addresses only"
            )

    async def send(self, webhook: Webhook, own_headers: Mapping[str, str]) -> Sent:
        """Send one request; no failure of the receiver raises."""
        try:
            self.require_address(webhook.url, "url")
        except InvalidError as error:  # the installation's settings were changed meanwhile
            return refused(str(error))
        headers = {"User-Agent": "volary", **webhook.headers, **own_headers}
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._send(webhook, headers)
        except TimeoutError:
            return failed(f"no answer within {self._timeout.total_seconds():g} seconds")
        except ForbiddenError:
            return refused("the host leads to no public address")
        except (httpx2.InvalidURL, UnicodeError, ValueError):
            return refused("the request is not valid HTTP; check its address and headers")
        except httpx2.HTTPError as error:
            return failed(f"the connection failed: {str(error) or type(error).__name__}")

    async def _send(self, webhook: Webhook, headers: Mapping[str, str]) -> Sent:
        client = httpx2.AsyncClient(
            transport=self._transport, timeout=None, trust_env=False, follow_redirects=False
        )
        request = client.build_request(
            webhook.method, webhook.url, headers=headers, content=webhook.body.encode() or None
        )
        answer = await client.send(request, stream=True)  # its body is not read
        await answer.aclose()
        return _result(answer.status_code, answer.headers.get("retry-after", ""))

    async def close(self) -> None:
        await self._transport.aclose()


def _result(status: int, retry_after: str) -> Sent:
    if 200 <= status < 300:
        return Sent(is_delivered=True, status=status)
    if 300 <= status < 400:
        return refused(
            f"the receiver answered {status}, and redirects are not followed", status=status
        )
    if status in _RETRIED or status >= 500:
        wait = None
        if retry_after.isascii() and retry_after.isdecimal() and len(retry_after) <= 9:
            wait = timedelta(seconds=min(int(retry_after), _LONGEST_RETRY_AFTER))
        return failed(f"the receiver answered {status}", status=status, retry_after=wait)
    return refused(f"the receiver answered {status}", status=status)


def _split(url: str) -> SplitResult | None:
    """Split a URL; None if it is none that a request can be sent to."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return None
    return parts
