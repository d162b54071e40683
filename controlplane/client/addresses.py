"""Addresses of control planes: HTTPS everywhere, plain HTTP on loopback only."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from controlplane.client.errors import ClientError


@dataclass(frozen=True, slots=True)
class Address:
    """Where a control plane is reached."""

    scheme: str
    host: str  # without the brackets of IPv6
    port: int

    @property
    def url(self) -> str:
        """The address as the control plane writes it, without the scheme's own port."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def is_plain(self) -> bool:
        return self.scheme == "http"


def parse_address(text: str) -> Address:
    """Parse ``https://host[:port]``, or ``host[:port]``; ClientError for anything else."""
    given = text.strip().removeprefix("dns:///")
    try:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ClientError(f"{text!r} is not an address: {error}") from error
    if parts.scheme not in {"https", "http"} or not host or not _is_plain_text(host):
        raise ClientError(f"{text!r} is not an address; write https://volary.example.com")
    if parts.username is not None or parts.password is not None:
        raise ClientError("the address has a user or password; log in with `volary login`")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ClientError(f"{text!r} has a path; write the address only, as in https://{host}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ClientError(
            f"{text} is not encrypted: a password or token would be readable on its way. Use "
            f"https://{host}; http:// is for this machine (localhost) only"
        )
    return Address(parts.scheme, host, port or {"https": 443, "http": 80}[parts.scheme])


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain_text(host: str) -> bool:
    return host.isascii() and host.isprintable() and " " not in host
