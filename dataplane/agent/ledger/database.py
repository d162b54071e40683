"""
SQLite access from asyncio: one connection in one thread, with group commit.

The event loop never touches SQLite: it hands over statements and awaits the commit.
Requests that queue up during one transaction share the next, so that a busy agent pays one
flush for hundreds of attempts. ``synchronous=FULL``: awaited writes survive a power failure,
not only a crash of the agent.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dataplane.agent.ledger.journal import LedgerError

logger = logging.getLogger(__name__)

FORMAT = 1
COMMIT_OPERATIONS = 512  # batches written in one transaction
COMMITS_WAITING = 4096  # batches that may wait for the writing thread

_PRIMARY_CODE = 0xFF  # of an extended result code
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_QUARANTINE_SUFFIX = ".unreadable"

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE specs (digest BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE attempts (
    attempt TEXT PRIMARY KEY, accepted_us INTEGER NOT NULL, assignment TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE reports (
    attempt TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (attempt, version)
) WITHOUT ROWID;
"""

Row = tuple[Any, ...]  # the column types are known where the SQL is


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL statement to execute for each row; without rows it has no effect."""

    sql: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class _Write:
    statements: Sequence[Statement]
    done: "asyncio.Future[None]"
    then: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Read:
    sql: str
    row: Row
    done: "asyncio.Future[list[Row]]"


class Database:
    """A SQLite file; create it with :meth:`open`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Write | _Read | None] = queue.SimpleQueue()
        self._queue_slots = asyncio.BoundedSemaphore(COMMITS_WAITING)

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        database = cls(await asyncio.to_thread(_connect, path))
        thread = threading.Thread(target=database._serve, name="ledger", daemon=True)
        thread.start()
        try:
            yield database
        finally:
            database._waiting.put(None)
            await asyncio.shield(asyncio.to_thread(thread.join))

    async def write(self, *statements: Statement, then: Callable[[], None] = lambda: None) -> None:
        """
        Commit the statements in one transaction; return once they are durable.

        ``then`` is called after the commit, even if the caller was cancelled meanwhile: effects
        of the commit must not depend on the caller still waiting.
        """
        async with self._queue_slots:
            done: asyncio.Future[None] = self._loop.create_future()
            self._waiting.put(_Write(statements, done, then))
            await done

    async def read(self, sql: str, *values: object) -> list[Row]:
        async with self._queue_slots:
            done: asyncio.Future[list[Row]] = self._loop.create_future()
            self._waiting.put(_Read(sql, values, done))
            return await done

    def _serve(self) -> None:
        try:
            while batch := self._next_batch():
                self._serve_batch(batch)
        finally:
            self._connection.close()

    def _next_batch(self) -> list[_Write | _Read]:
        """Return the queued requests, waiting for at least one; empty after the end."""
        batch: list[_Write | _Read] = []
        first = self._waiting.get()
        while first is not None:
            batch.append(first)
            if len(batch) == COMMIT_OPERATIONS or self._waiting.empty():
                return batch
            first = self._waiting.get()
        self._waiting.put(None)  # the end comes after this batch
        return batch

    def _serve_batch(self, batch: Sequence[_Write | _Read]) -> None:
        answers: list[list[Row] | None] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for request in batch:
                if isinstance(request, _Read):
                    answers.append(self._connection.execute(request.sql, request.row).fetchall())
                    continue
                for statement in request.statements:
                    self._connection.executemany(statement.sql, statement.rows)
                answers.append(None)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._loop.call_soon_threadsafe(_fail, batch, error)
            return
        self._loop.call_soon_threadsafe(_answer, batch, answers)


def _answer(batch: Sequence[_Write | _Read], answers: Sequence[list[Row] | None]) -> None:
    for request, answer in zip(batch, answers, strict=True):
        if isinstance(request, _Write):
            request.then()
        if request.done.done():
            continue  # the caller was cancelled
        if isinstance(request, _Read):
            request.done.set_result(answer or [])
        else:
            request.done.set_result(None)


def _fail(batch: Sequence[_Write | _Read], cause: sqlite3.Error) -> None:
    for request in batch:
        if not request.done.done():
            error = LedgerError("the ledger cannot be used; is the data directory's disk full?")
            error.__cause__ = cause
            request.done.set_exception(error)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file; a damaged one is renamed and replaced with a new one."""
    try:
        try:
            return _open(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE not in _DAMAGED:
                raise
            logger.exception(
                "ledger damaged, starting a new one",
                extra={"path": str(path), "kept_as": f"{path}{_QUARANTINE_SUFFIX}"},
            )
            for suffix in ("", "-wal", "-shm"):
                damaged = path.with_name(path.name + suffix)
                if damaged.exists():
                    damaged.replace(path.with_name(path.name + suffix + _QUARANTINE_SUFFIX))
            return _open(path)
    except sqlite3.Error as error:
        raise LedgerError(f"{path} cannot be opened as the agent's ledger") from error


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    _check(connection)
    connection.execute("PRAGMA synchronous=FULL")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
    elif found != FORMAT:
        raise LedgerError(
            f"{path} has format {found}, this agent writes {FORMAT}; "
            "run the agent release that wrote it, or give an empty --data-dir"
        )


def _check(connection: sqlite3.Connection) -> None:
    """Raise DatabaseError if a page is damaged; takes milliseconds for thousands of attempts."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
