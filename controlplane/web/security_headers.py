"""
Adds the headers that tell browsers what answers of this origin may do.

Every answer gets them, errors and refusals too: the strictest values, unless the route has set one
of its own. Routes so say only where they need more.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Message, Scope, Send

_ALWAYS: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
"""Of answers to programs, which thousands of calls a second get."""
_OF_PAGES: Sequence[tuple[bytes, bytes]] = (
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),  # for browsers that know no frame-ancestors
    (b"referrer-policy", b"no-referrer"),
    (
        b"permissions-policy",
        b"camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    ),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    def __init__(self, public_url: str, *, release: str = "") -> None:
        """
        Ask browsers to use TLS from now on, if the host of ``public_url`` is not loopback.

        For ``localhost`` that would hold for every program's port of this machine. ``release``
        is named in every answer, so that an open console notices an upgrade; "" for none.
        """
        named = ((b"x-volary-release", release.encode()),) if release else ()
        self._of_programs = (*_ALWAYS, *named)
        self._of_pages = (*_OF_PAGES, *named)
        self._has_hsts = not _is_loopback(urlsplit(public_url).hostname or "")

    def add(self, scope: Scope, send: Send, *, is_rpc: bool) -> Send:
        """Return a ``send`` for the answer to the request, which adds the headers."""
        added = self._of_programs if is_rpc else self._of_pages
        if self._has_hsts and scope["scheme"] == "https":
            added = (*added, _HSTS)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                own.extend(each for each in added if each[0] not in names)
                message["headers"] = own
            await send(message)

        return send_with_headers


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
