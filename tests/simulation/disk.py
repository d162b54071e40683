"""
Simulates an agent's disk: the ledger's own SQL on a database in memory, with latency and faults.

A write takes time, is committed atomically and in order even if its caller is cancelled or
killed, and fails when the disk is full.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from random import Random
from typing import TypeVar

from dataplane.agent.ledger.database import _SCHEMA, Database, Row, Statement
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.sqlite import SqliteJournal
from tests.simulation.loop import SimLoop

T = TypeVar("T")


class Disk:
    """The state that outlives an agent; ``latency`` is the maximum of seconds for a commit."""

    def __init__(self, loop: SimLoop, chance: Random) -> None:
        self.is_full = False
        self.latency = 0.01
        self._loop = loop
        self._chance = chance
        self._busy_until = 0.0
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(_SCHEMA)

    def open(self) -> SqliteJournal:
        return SqliteJournal(_SimDatabase(self))

    def close(self) -> None:
        self._connection.close()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run it in order; it completes even if the caller is gone by then."""
        self._busy_until = max(
            self._busy_until, self._loop.time() + self._chance.uniform(0, self.latency)
        )
        done: asyncio.Future[T] = self._loop.create_future()
        self._loop.call_in_world(self._busy_until, self._do, work, done)
        return await done

    def _do(self, work: Callable[[sqlite3.Connection], T], done: "asyncio.Future[T]") -> None:
        try:
            answer = work(self._connection)
        except LedgerError as error:
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(answer)

    def require_room(self) -> None:
        if self.is_full:
            raise LedgerError("the ledger cannot be used; is the data directory's disk full?")


class _SimDatabase(Database):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    async def write(self, *statements: Statement, then: Callable[[], None] = lambda: None) -> None:
        def work(connection: sqlite3.Connection) -> None:
            self._disk.require_room()
            connection.execute("BEGIN")
            for statement in statements:
                connection.executemany(statement.sql, statement.rows)
            connection.execute("COMMIT")
            then()

        await self._disk.do(work)

    async def read(self, sql: str, *values: object) -> list[Row]:
        return await self._disk.do(lambda connection: connection.execute(sql, values).fetchall())
