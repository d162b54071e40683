"""Ports for servers of tests that are started, and started again, on the same address."""

import random
import socket
from contextlib import ExitStack

# Below the ports that Linux gives to outgoing connections (from 32768 on): one of those may be
# taken between the choice and the server's bind, or while a killed server is down.
_FIRST, _LAST = 15_000, 29_999

# A claim is an abstract Unix socket: the kernel forgets it when this process ends.
_claims: list[socket.socket] = []


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Return distinct ports that are free for TCP and UDP; no other process of tests gets them."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(_FIRST, _LAST)
        if _claim(port) and _is_free(host, port):
            found.append(port)
    return found


def _claim(port: int) -> bool:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0volary-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _is_free(host: str, port: int) -> bool:
    with ExitStack() as held:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            one = held.enter_context(socket.socket(type=kind))
            try:
                one.bind((host, port))
            except OSError:
                return False
    return True
