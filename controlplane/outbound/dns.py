"""
Looks up TXT records, by dnspython, at the machine's resolvers or at configured ones.

A name that a customer chooses is only ever asked for: no connection is made to where it leads.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

from shared.kit.settings import kinds, setting, settings

LOOKUP_SECONDS = 5.0
"""How long a look-up may take, with all its tries."""
_AT_ONCE = 16


class LookupFailedError(Exception):
    """No answer, or one that says nothing of whether the record exists; the message says which."""


@settings("DNS")
class DnsSettings:
    servers: Sequence[str] = setting(
        "VOLARY_DNS_SERVERS",
        kinds.listing(kinds.host_port()),
        "Resolvers, as `address:port`, that are asked whether an org's e-mail domains are its own.",
        default=(),
        default_text="the machine's",
    )

    def __post_init__(self) -> None:
        for server in self.servers:
            try:
                ip_address(_split(server)[0])
            except ValueError as error:
                raise ValueError(
                    f"VOLARY_DNS_SERVERS names {server!r}; use the resolver's IP address"
                ) from error


@dataclass
class Dns:
    """Asks ``servers`` for TXT records; without any, the resolvers of the machine."""

    servers: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def list_texts(self, name: str) -> Sequence[str]:
        """
        Return the texts of a name's TXT records; none if it has no such records.

        LookupFailedError: the resolvers did not answer in time, or answered that they cannot.
        """
        async with self._slots:
            try:
                answer = await self._resolver().resolve(
                    name, dns.rdatatype.TXT, search=False, lifetime=LOOKUP_SECONDS
                )
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                return []
            except dns.exception.Timeout as error:
                raise LookupFailedError("the DNS resolvers did not answer in time") from error
            except (dns.exception.DNSException, OSError) as error:
                raise LookupFailedError(
                    f"the DNS look-up of {name} failed ({type(error).__name__})"
                ) from error
        # All of them: a server sends them in any order, and an answer has at most 64 KiB.
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Return a new resolver: that of the machine reads its file again, and none caches."""
        resolver = dns.asyncresolver.Resolver(configure=not self.servers)
        if self.servers:
            resolver.nameservers = [
                dns.nameserver.Do53Nameserver(*_split(server)) for server in self.servers
            ]
        resolver.lifetime = LOOKUP_SECONDS
        resolver.timeout = LOOKUP_SECONDS / 2
        return resolver


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
