"""Open sockets that detect a dead peer, because streams may be silent for hours."""

import socket

import aiohttp

from dataplane.agent.proxy import proxy_limits

_PROBES = 2


def open_keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket to the address, for aiohttp to connect."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    enable_keepalive(opened)
    return opened


def enable_keepalive(open_socket: socket.socket) -> None:
    """Enable TCP keepalive with a short interval."""
    open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if not hasattr(socket, "TCP_KEEPIDLE"):
        return
    each = max(1, int(proxy_limits.SILENT_PEER.total_seconds()) // (_PROBES + 1))
    open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, each)
    open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, each)
    open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
