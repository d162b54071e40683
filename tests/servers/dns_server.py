"""A small DNS server for tests: answers TXT queries from a table, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.ports import free_ports


@dataclass
class DnsForTests(asyncio.DatagramProtocol):
    """
    ``texts``: of each name; ``rcode``: answered instead; ``is_silent``: no answer.

    An answer over ``most_bytes`` is truncated over UDP, and whole over TCP, if ``has_tcp``.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    is_silent: bool = False
    most_bytes: int = 1232
    has_tcp: bool = True
    asked: list[str] = field(default_factory=list)
    asked_by_tcp: list[str] = field(default_factory=list)
    address: str = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(_name_in(query))
        if self.is_silent:
            return
        response = self._answer(query)
        wire = response.to_wire()
        if len(wire) > self.most_bytes:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        self._transport.sendto(wire, address)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(size))
        self.asked_by_tcp.append(_name_in(query))
        if self.has_tcp:
            wire = self._answer(query).to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
        writer.close()

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        [question] = query.question
        name = _name_in(query)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        response.set_rcode(self.rcode)
        texts = self.texts.get(name)
        if self.rcode == dns.rcode.NOERROR and texts is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if texts and question.rdtype == dns.rdatatype.TXT:
            quoted = [" ".join(f'"{part}"' for part in _parts(text)) for text in texts]
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *quoted))
        return response


def _name_in(query: dns.message.Message) -> str:
    [question] = query.question
    return question.name.to_text(omit_final_dot=True)


def _parts(text: str) -> list[str]:
    """Split a text as DNS does: strings of at most 255 bytes, which readers join."""
    return [text[start : start + 255] for start in range(0, len(text), 255)] or [""]


@asynccontextmanager
async def serving_dns() -> AsyncIterator[DnsForTests]:
    """Serve on one port of loopback, for UDP and for TCP."""
    loop = asyncio.get_running_loop()
    [port] = free_ports(1)
    transport, server = await loop.create_datagram_endpoint(
        DnsForTests, local_addr=("127.0.0.1", port)
    )
    with closing(transport):
        async with await asyncio.start_server(server.serve_tcp, "127.0.0.1", port):
            yield server
