"""
DNS server for the pods of one node; resolves the names of Services.

It asks the API server each time, and knows no other name: what is not a Service's is none.
"""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import httpx

from tests.kube.controlplane import KubeForTests

DOMAIN = "cluster.local"
_PORT = 53
_HEADER_BYTES = 12
_ANSWERED = b"\x85\x80"  # by whom it is up to, who would ask others, too
_NO_SUCH_NAME = b"\x85\x83"
_ADDRESS = b"\x00\x01"  # the type A
_POINTS_TO_QUESTION = b"\xc0\x0c"
_SECONDS_TO_LIVE = (5).to_bytes(4)
Find = Callable[[str, str], IPv4Address | None]  # by name and namespace


@contextmanager
def serving(kube: KubeForTests, at: str) -> Iterator[None]:
    """Answer on UDP for the length of a block."""
    with httpx.Client(base_url=kube.address, verify=kube.trust(), trust_env=False) as asking:

        def find(name: str, namespace: str) -> IPv4Address | None:
            found = asking.get(f"/api/v1/namespaces/{namespace}/services/{name}")
            return IPv4Address(found.json()["spec"]["clusterIP"]) if found.is_success else None

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query, socket = self.request
                socket.sendto(answer(query, find), self.client_address)

        with socketserver.ThreadingUDPServer((at, _PORT), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, name="names")
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


def answer(query: bytes, find: Find) -> bytes:
    """Answer one query of one question (RFC 1035)."""
    labels, end = _read_name(query)
    question = query[_HEADER_BYTES : end + 4]
    address = None
    match labels:
        case [name, namespace, "svc", *domain] if ".".join(domain) == DOMAIN:
            address = find(name, namespace)
    if address is None:
        return _message(query, _NO_SUCH_NAME, question, b"")
    if query[end : end + 2] != _ADDRESS:
        return _message(query, _ANSWERED, question, b"")  # the name is one, without such an entry
    entry = _POINTS_TO_QUESTION + question[-4:] + _SECONDS_TO_LIVE + b"\x00\x04" + address.packed
    return _message(query, _ANSWERED, question, entry)


def _read_name(query: bytes) -> tuple[list[str], int]:
    """Give the labels of the name that is asked for, and where it ends."""
    labels, at = [], _HEADER_BYTES
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    return labels, at + 1


def _message(query: bytes, flags: bytes, question: bytes, entry: bytes) -> bytes:
    entries = b"\x00\x01" if entry else b"\x00\x00"
    return query[:2] + flags + b"\x00\x01" + entries + b"\x00\x00\x00\x00" + question + entry
