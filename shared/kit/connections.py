"""
Limits on the connections of a server: how many there are, and for how long one is waited for.

A server's protocol enters each connection and says when something has to have come from it.
Nothing here costs a connection that is quick: no timer is made, one task looks once a second.
"""

import asyncio
import logging
from collections import Counter
from typing import Protocol

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Connection(Protocol):
    """A connection that is waited for."""

    def expire(self) -> None:
        """End it: what had to come by :meth:`Connections.expect`'s deadline did not come."""
        ...


class Connections:
    """``most`` connections in all, and ``most_per_address`` from one address."""

    def __init__(self, name: str, *, most: int, most_per_address: int) -> None:
        """``name`` is the server's, for the log."""
        self._name = name
        self._most = most
        self._most_per_address = most_per_address
        self._count = 0
        self._by_address: Counter[str] = Counter()
        self._deadlines: dict[Connection, float] = {}  # the loop's time
        self._refusals: Counter[str] = Counter()  # by limit, since the last line in the log

    def __len__(self) -> int:
        return self._count

    def enter(self, address: str) -> str:
        """Count a connection that was made; returns why it has to be refused, "" if it has not."""
        self._count += 1
        self._by_address[address] += 1
        if self._count > self._most:
            return f"{self._most} connections are open already"
        if self._by_address[address] > self._most_per_address:
            return f"{self._most_per_address} connections from {address} are open already"
        return ""

    def leave(self, connection: Connection, address: str) -> None:
        """Forget a connection that is lost, refused or not."""
        self._deadlines.pop(connection, None)
        self._count -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def expect(self, connection: Connection, deadline: float) -> None:
        """Expire the connection at this time of the loop, unless it is then expected no more."""
        self._deadlines[connection] = deadline

    def expect_no_more(self, connection: Connection) -> None:
        self._deadlines.pop(connection, None)

    def note_refusal(self, limit: str) -> None:
        """Count a refusal; what is refused within a second is one line of the log."""
        self._refusals[limit] += 1

    async def run(self) -> None:
        """Expire connections until cancelled."""
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
