"""
Accepts TLS connections: counts each one before its handshake, and hands it over after.

An event loop tells a server of a TLS connection when the handshake has ended. Clients that never
end theirs would be in no count; here they are in the one of :class:`Connections`, in all and by
address, and have a deadline.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import cast

from shared.kit.connections import Connections

logger = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 5.0  # for a client's answer to the end of TLS
_PAUSE_SECONDS = 0.1  # after a failure to accept, usually for want of open files

MakeProtocol = Callable[[str], asyncio.Protocol]
"""
Makes the protocol of a connection, by the protocol that ALPN selected ("" if none).

The connection is counted already; its protocol has to ``leave`` when the connection is lost.
"""


class TlsListener:
    """Accepts connections of a listening socket; :meth:`run` performs their handshakes."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        connections: Connections,
        make: MakeProtocol,
        *,
        handshake_within: float,
    ) -> None:
        self._socket = listening
        self._context = context
        self._connections = connections
        self._make = make
        self._handshake_within = handshake_within
        self.handshakes: Counter[str] = Counter()  # by outcome: ok, failed, refused

    async def run(self) -> None:
        """Accept until cancelled; then close the socket, and end the handshakes under way."""
        async with asyncio.TaskGroup() as handshakes:
            try:
                while True:
                    await self._accept(handshakes)
            finally:
                self._socket.close()

    async def _accept(self, handshakes: asyncio.TaskGroup) -> None:
        try:
            accepted, address = await asyncio.get_running_loop().sock_accept(self._socket)
        except OSError as error:
            logger.warning("connection not accepted", extra={"error": str(error)})
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        if self._admit(accepted, peer := str(address[0])):
            handshakes.create_task(self._perform(accepted, peer), name="TLS handshake")

    def _admit(self, accepted: socket.socket, peer: str) -> bool:
        """Count the connection; close it if there are too many: an answer needs a handshake."""
        reason = self._connections.enter(peer)
        if not reason:
            return True
        self.handshakes["refused"] += 1
        self._connections.note_refusal("per address" if "from" in reason else "in all")
        self._connections.leave(None, peer)
        accepted.close()
        return False

    async def _perform(self, accepted: socket.socket, peer: str) -> None:
        handshake = _Handshake(self._make)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handshake,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_within,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            if not handshake.is_over:
                logger.debug(
                    "TLS handshake failed", extra={"peer": peer, "error": str(error)[:200]}
                )
        finally:
            self.handshakes["ok" if handshake.is_over else "failed"] += 1
            if not handshake.is_over:
                self._connections.leave(None, peer)
                accepted.close()


class _Handshake(asyncio.Protocol):
    """The protocol of a connection until its handshake is over; then it is replaced."""

    def __init__(self, make: MakeProtocol) -> None:
        self._make = make
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_over = True
        tls = cast(asyncio.Transport, transport)
        negotiated: ssl.SSLObject = tls.get_extra_info("ssl_object")
        protocol = self._make(negotiated.selected_alpn_protocol() or "")
        tls.set_protocol(protocol)
        protocol.connection_made(tls)
