"""
Finds out from which address a request came, and whether it was encrypted on its way.

Behind proxies that are trusted, their headers say so; anybody else's headers are ignored. The
rest of the program sees the result in the ASGI scope (``client``, ``scheme``) and nothing else.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address

from starlette.types import Scope

from controlplane.web.origins import Refusal
from controlplane.web.tls_settings import Network

_MOST_HOPS = 16
_PROBES = frozenset({"/healthz", "/readyz"})


class Addresses:
    """A set of networks, with the answers for addresses that were asked for lately."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self.contains = lru_cache(maxsize=4096)(self._find)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _find(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)  # an IPv4 client of a socket for both
        return any((mapped or parsed) in each for each in self._networks)


class Peers:
    """Replaces a trusted proxy's address by that of its client."""

    def __init__(
        self, trusted_proxies: Sequence[Network] = (), *, requires_proxy: bool = False
    ) -> None:
        """With ``requires_proxy`` the port is in the clear, for trusted proxies that end TLS."""
        self._trusted = Addresses(trusted_proxies)
        self._requires_proxy = requires_proxy

    def find_refusal(self, scope: Scope) -> Refusal | None:
        """Set ``client`` and ``scheme`` of the scope; return why the request is refused."""
        if not self._trusted:
            return None
        address = _address_of(scope)
        if not self._trusted.contains(address):
            return self._refuse_direct(scope["path"], address)
        hops, scheme = _read_forwarded(scope["headers"])
        client = address
        for hop in reversed(hops[-_MOST_HOPS:]):
            found = _parse_hop(hop)
            if not found:
                break  # not an address: what is left of it is not trustworthy either
            client = found
            if not self._trusted.contains(found):
                break
        if client != address:
            scope["client"] = (client, 0)
        if scheme:
            scope["scheme"] = scheme
        if self._requires_proxy and scheme == "http" and scope["path"] not in _PROBES:
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "the request reached the proxy in the clear; use https:// to keep its token secret",
            )
        return None

    def _refuse_direct(self, path: str, address: str) -> Refusal | None:
        if not self._requires_proxy or path in _PROBES:
            return None
        return Refusal(
            HTTPStatus.FORBIDDEN,
            f"{address} is none of VOLARY_TRUSTED_PROXIES: this port is in the clear, for proxies"
            " that end TLS; use the public address",
        )


def _address_of(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _read_forwarded(headers: Iterable[tuple[bytes, bytes]]) -> tuple[Sequence[str], str]:
    """Return the addresses of X-Forwarded-For, and the scheme that the last proxy was asked by."""
    hops: list[str] = []
    scheme = ""
    for name, value in headers:
        if name == b"x-forwarded-for":
            hops.extend(value.decode("latin-1").split(","))
        elif name == b"x-forwarded-proto":
            last = value.decode("latin-1").rpartition(",")[2].strip().lower()
            scheme = last if last in {"http", "https"} else ""
    return hops, scheme


def _parse_hop(text: str) -> str:
    """Return the address of ``address``, ``address:port`` or ``[address]:port``; "" if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
