"""A small DNS server for tests: answers TXT queries over UDP from a table, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class DnsForTests(asyncio.DatagramProtocol):
    """``texts``: of each name; ``rcode``: answered instead; ``is_silent``: no answer."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    is_silent: bool = False
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        if self.is_silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        response.set_rcode(self.rcode)
        texts = self.texts.get(name)
        if self.rcode == dns.rcode.NOERROR and texts is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if texts and question.rdtype == dns.rdatatype.TXT:
            quoted = [" ".join(f'"{part}"' for part in _parts(text)) for text in texts]
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *quoted))
        self._transport.sendto(response.to_wire(), address)


def _parts(text: str) -> list[str]:
    """Split a text as DNS does: strings of at most 255 bytes, which readers join."""
    return [text[start : start + 255] for start in range(0, len(text), 255)] or [""]


@asynccontextmanager
async def serving_dns() -> AsyncIterator[DnsForTests]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        DnsForTests, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
