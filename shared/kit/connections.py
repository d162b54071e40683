"""
Connection limits of a server: total, per client address, and read deadlines.

The server's protocol class calls ``enter`` for each connection and sets deadlines by which
data must arrive. Fast connections cost no timer: one task checks the deadlines once a second.
"""

import asyncio
import logging
from collections import Counter
from typing import Protocol

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Awaited(Protocol):
    """A connection, or a part of its work, that has a deadline."""

    def expire(self) -> None:
        """Close it: nothing arrived before the deadline of :meth:`Connections.expect`."""
        ...


class Connection(Awaited, Protocol):
    """A connection that was made."""

    def abort(self) -> None:
        """Close it at once, without what is unsent and without waiting for its client."""
        ...


class Connections:
    """Allows ``most`` connections in total and ``most_per_address`` from one address."""

    def __init__(self, name: str, *, most: int, most_per_address: int) -> None:
        """``name`` identifies the server in log lines."""
        self._name = name
        self._most = most
        self._most_per_address = most_per_address
        self._count = 0
        self._by_address: Counter[str] = Counter()
        self._made: set[Connection] = set()
        self._is_empty = asyncio.Event()  # no connection is counted
        self._is_empty.set()
        self._deadlines: dict[Awaited, float] = {}  # the loop's time
        self._refusals: Counter[str] = Counter()  # by limit, since the last log line
        self._is_closed = False

    def __len__(self) -> int:
        return self._count

    def enter(self, address: str) -> str:
        """Count a new connection; return the reason to refuse it, "" to accept it."""
        self._count += 1
        self._is_empty.clear()
        self._by_address[address] += 1
        if self._is_closed:
            return "the server is stopping"
        if self._count > self._most:
            return f"{self._most} connections are open already"
        if self._by_address[address] > self._most_per_address:
            return f"{self._most_per_address} connections from {address} are open already"
        return ""

    def close(self) -> None:
        """
        Refuse all further connections: the server is stopping.

        A TLS connection is made when its handshake ends, which may be after the listening socket
        and all known connections are closed; nothing would ever close it.
        """
        self._is_closed = True

    async def drain(self, within: float) -> None:
        """
        Wait until the clients of a stopped server have closed their connections; cut the others.

        A socket with unsent bytes, or whose client does not end TLS, stays open after ``close``.
        ``within``: seconds that the clients have.
        """
        try:
            async with asyncio.timeout(within):
                await self._is_empty.wait()
        except TimeoutError:
            logger.info(
                "connections cut, because their clients did not close them",
                extra={"server": self._name, "count": self._count},
            )
            self.cut()
            await self._is_empty.wait()

    def cut(self) -> None:
        """Close all connections at once."""
        for connection in list(self._made):
            connection.abort()

    def add(self, connection: Connection) -> None:
        """Note a connection that was made, whether it is accepted or refused."""
        self._made.add(connection)

    def replace(self, connection: Connection, other: Connection) -> None:
        """Note that ``other`` has taken over a connection, which stays counted."""
        self._made.discard(connection)
        self._made.add(other)

    def leave(self, connection: Connection | None, address: str) -> None:
        """
        Stop counting a closed connection, whether it was accepted or refused.

        None: one that was not made, such as one whose handshake failed.
        """
        if connection is not None:
            self._made.discard(connection)
            self._deadlines.pop(connection, None)
        self._count -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
        if not self._count:
            self._is_empty.set()

    def expect(self, connection: Awaited, deadline: float) -> None:
        """Set the connection's deadline, in the event loop's time; it expires then."""
        self._deadlines[connection] = deadline

    def expect_no_more(self, connection: Awaited) -> None:
        """Clear the connection's deadline."""
        self._deadlines.pop(connection, None)

    def note_refusal(self, limit: str) -> None:
        """Count a refusal; those of one second are logged as one line."""
        self._refusals[limit] += 1

    async def run(self) -> None:
        """Expire connections past their deadline and log refusals, each second until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = loop.time()
            late = [one for one, deadline in self._deadlines.items() if deadline <= now]
            for connection in late:
                self._deadlines.pop(connection, None)
                connection.expire()
            for limit, count in self._refusals.items():
                logger.warning(
                    "connections refused",
                    extra={
                        "server": self._name,
                        "limit": limit,
                        "count": count,
                        "open": self._count,
                    },
                )
            self._refusals.clear()
