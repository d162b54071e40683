"""
Refuses requests that a foreign web page sends through a user's browser.

Without logins any client of the port may do anything, and a browser on this machine reaches
it. A page can make its own host name resolve to 127.0.0.1 (DNS rebinding), or simply send
requests across origins. So every request must name a host of ours, and must not carry another
site's ``Origin`` or ``Sec-Fetch-Site``. Clients other than browsers send no ``Origin``.

With logins, a person follows links of other sites to some pages: from an identity provider, from
a message with an invitation. Those pages change nothing when they are opened.
"""

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Send

from shared.kit.outside_logs import OutsideLog

logger = logging.getLogger(__name__)
outside = OutsideLog(logger)

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_JUDGED = frozenset({b"host", b"origin", b"sec-fetch-site"})
_PORTS = {"http": 80, "https": 443}
_MAX_QUOTED = 100  # characters of a header in an error message


@dataclass(frozen=True, slots=True)
class Refusal:
    status: HTTPStatus
    message: str


class OriginCheck:
    """Checks the ``Host``, ``Origin`` and ``Sec-Fetch-Site`` headers of a request."""

    def __init__(self, public_url: str) -> None:
        """Allow loopback names, and the host of ``public_url``."""
        public = urlsplit(public_url)
        self._public_host = public.hostname or ""
        self._public_origin = _parse_origin(f"{public.scheme}://{public.netloc}")
        # Cached: few clients, so few values, and the usual request costs two look-ups.
        self._is_own_host = lru_cache(maxsize=256)(self._find_own_host)
        self._is_own_origin = lru_cache(maxsize=256)(self._find_own_origin)

    def find_refusal(
        self, headers: Iterable[tuple[bytes, bytes]], *, is_linked: bool = False
    ) -> Refusal | None:
        """
        Return why a request with these headers (names in lower case) is refused; None if not.

        ``is_linked``: a page that changes nothing, and to which other sites may lead a person.
        """
        headers = list(headers)
        hosts, origins, site = [], [], b""
        for name, value in headers:
            if name not in _JUDGED:
                continue
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origins.append(value)
            else:
                site = value
        if len(hosts) != 1:
            return Refusal(
                HTTPStatus.BAD_REQUEST, f"the request has {len(hosts)} Host headers; send one"
            )
        if not self._is_own_host(hosts[0]):
            return Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"{_quote(hosts[0])} is not a host of this control plane: without logins it accepts"
                f" localhost, 127.0.0.1, [::1] and the host of VOLARY_PUBLIC_URL"
                f" ({self._public_host}) only; use one of those",
            )
        for origin in origins:
            if not self._is_own_origin(origin, hosts[0]):
                return Refusal(
                    HTTPStatus.FORBIDDEN,
                    f"requests of pages from {_quote(origin)} are refused: without logins only"
                    " this control plane's own pages may call it from a browser",
                )
        if site.strip().lower() == b"cross-site" and not (is_linked and _is_navigation(headers)):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "requests that another site's page makes are refused: without logins only this"
                " control plane's own pages may call it from a browser; open the address by"
                " itself, in a new tab",
            )
        return None

    def _find_own_host(self, host: bytes) -> bool:
        authority = _parse_authority(host)
        return authority is not None and (
            authority[0] == self._public_host or _is_loopback(authority[0])
        )

    def _find_own_origin(self, origin: bytes, host: bytes) -> bool:
        """Return whether a page's origin is the public URL's, or that of the requested host."""
        parsed = _parse_origin(origin.decode("latin-1"))
        authority = _parse_authority(host)
        if parsed is None or authority is None:
            return False
        scheme, name, port = parsed
        own = (authority[0], authority[1] or _PORTS[scheme])  # a proxy may have terminated TLS
        return parsed == self._public_origin or (name, port) == own


def _is_navigation(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a person follows a link in a tab: no frame, no script, no image."""
    fetch = {name: value.strip().lower() for name, value in headers if name.startswith(b"sec-")}
    mode, destination = fetch.get(b"sec-fetch-mode"), fetch.get(b"sec-fetch-dest")
    return mode == b"navigate" and destination == b"document"


async def answer(refusal: Refusal, path: str, send: Send, *, is_rpc: bool) -> None:
    """Send a refusal: as a Connect error for an RPC, as plain text otherwise."""
    outside.info("request refused", extra={"path": path[:200], "answer": refusal.message})
    if is_rpc:
        kind = b"application/json"
        body = json.dumps({"code": "permission_denied", "message": refusal.message}).encode()
    else:
        kind, body = b"text/plain; charset=utf-8", f"{refusal.message}\n".encode()
    await send({
        "type": "http.response.start",
        "status": refusal.status.value,
        "headers": [(b"content-type", kind)],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": body})


def _parse_authority(text: bytes) -> tuple[str, int | None] | None:
    """Parse ``host`` or ``host:port``; None for anything else. IPv6 comes without brackets."""
    match = _AUTHORITY.fullmatch(text.decode("latin-1").strip().lower())
    if match is None:
        return None
    return match[1].strip("[]"), int(match[2]) if match[2] else None


def _parse_origin(text: str) -> tuple[str, str, int] | None:
    """Parse ``scheme://host[:port]``; None for anything else, such as ``null``."""
    scheme, _, rest = text.lower().partition("://")
    authority = _parse_authority(rest.encode("latin-1", "replace"))
    if scheme not in _PORTS or authority is None:
        return None
    return scheme, authority[0], authority[1] or _PORTS[scheme]


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _quote(value: bytes) -> str:
    return repr(value.decode("latin-1")[:_MAX_QUOTED])
