"""
Transactions, and whose they are.

A query on a tenant's table takes an :class:`OrgTx`, which only
:meth:`Database.for_org` makes; row-level security backs the type up in Postgres.
The few passes that look across tenants take a :class:`FleetTx` and say why.

Every connection takes the role ``volary_app``, which owns nothing and bypasses nothing,
whatever role the address logs in with.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import CursorResult, ExceptionContext, Row, event, make_url, text
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql import Executable

from controlplane.core.errors import BusyError, InvalidError, UnavailableError
from shared.model.ids import OrgName

APPLICATION_ROLE = "volary_app"

_SET_ORG = text("SELECT set_config('app.org', :org, true)")
_SET_ORG_AND_LOCK_TIMEOUT = text(
    "SELECT set_config('app.org', :org, true), set_config('lock_timeout', :lock_timeout, true)"
)
_SET_FLEET = text("SELECT set_config('app.fleet', 'on', true)")

# SQLSTATEs and their classes that mean "not now": connection, resources, operator, locks,
# a server that takes no writes (it is being replaced), a transaction that sat idle.
_AWAY = ("08", "53", "57", "40", "58", "25006", "25P03")
_LOCK_TIMEOUT = "55P03"
_UNREACHABLE = "the database cannot be reached; try again"
# Text that Postgres has no way to keep: NUL, in a column or in JSON.
_NOT_TEXT = ("22021", "22P05")


@dataclass(frozen=True, slots=True)
class OrgTx:
    """A transaction that sees one org's rows."""

    connection: AsyncConnection
    org: OrgName

    async def execute(
        self, statement: Executable, values: Mapping[str, object] | None = None
    ) -> CursorResult[tuple[object, ...]]:
        """Run a statement that may name ``:org``."""
        return await self.connection.execute(statement, {"org": self.org, **(values or {})})

    async def rows(
        self, statement: Executable, values: Mapping[str, object] | None = None
    ) -> Sequence[Row[tuple[object, ...]]]:
        return (await self.execute(statement, values)).all()


@dataclass(frozen=True, slots=True)
class FleetTx:
    """A transaction that sees every org's rows, and why it has to."""

    connection: AsyncConnection
    reason: str


class Database:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def for_org(
        self, org: OrgName, *, lock_timeout: timedelta | None = None
    ) -> AsyncIterator[OrgTx]:
        """
        Open a transaction on ``org``'s rows; UnavailableError when Postgres is away.

        ``lock_timeout``: BusyError after waiting so long for a lock, instead of ten seconds.
        """
        async with self._transaction() as connection:
            if lock_timeout is None:
                await connection.execute(_SET_ORG, {"org": org})
            else:
                milliseconds = str(lock_timeout // timedelta(milliseconds=1))
                await connection.execute(
                    _SET_ORG_AND_LOCK_TIMEOUT, {"org": org, "lock_timeout": milliseconds}
                )
            yield OrgTx(connection, org)

    @asynccontextmanager
    async def for_fleet(self, reason: str) -> AsyncIterator[FleetTx]:
        """Open a transaction across orgs; UnavailableError when Postgres is away."""
        async with self._transaction() as connection:
            await connection.execute(_SET_FLEET)
            yield FleetTx(connection, reason)

    async def ping(self) -> None:
        """Ask Postgres for a sign of life; UnavailableError when it gives none."""
        async with self._transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """
        Open a transaction; the driver's errors are ours, those of the block stay what they are.

        An OSError of the block (a file, an agent's socket, a deadline) is not the database's:
        the driver's own are told apart where they are raised (:func:`_driver_errors_as_ours`).
        """
        with _errors_as_ours():
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(self._engine.connect())
                except OSError as error:
                    raise UnavailableError(_UNREACHABLE) from error
                async with connection.begin():
                    yield connection


def open_database(url: str, *, pool_size: int = 10) -> Database:
    """
    Make a pool of connections, opened when they are needed.

    ``url`` is ``postgresql://user:password@host:port/name``, or with ``?host=/socket/dir``.
    """
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=False,  # a broken connection fails one call, which its caller repeats
        connect_args={
            "timeout": 10,
            "command_timeout": 30,
            "prepared_statement_cache_size": 500,
            "server_settings": {
                "role": APPLICATION_ROLE,
                "application_name": "volary",
                "statement_timeout": "20000",
                "lock_timeout": "10000",
                "idle_in_transaction_session_timeout": "30000",
                "jit": "off",  # short statements; compiling them costs more than running them
                # Every statement of ours goes by an index, whatever the statistics say: a
                # table that is empty when a plan is made has a thousand rows a second later.
                "enable_seqscan": "off",
                "enable_hashjoin": "off",
                "enable_mergejoin": "off",
                "enable_bitmapscan": "off",
                "enable_sort": "off",
                "plan_cache_mode": "force_custom_plan",
                "timezone": "UTC",
            },
        },
    )
    event.listen(engine.sync_engine, "handle_error", _driver_errors_as_ours)
    return Database(engine)


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    """Tell "not now" and "not such text" from "we wrote a wrong statement", which stays a bug."""
    try:
        yield
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        if sqlstate == _LOCK_TIMEOUT:
            raise BusyError("another transaction has locked it for long; try again") from error
        if error.connection_invalidated or sqlstate.startswith(_AWAY):
            why = f"SQLSTATE {sqlstate}" if sqlstate else "its connection broke"
            raise UnavailableError(f"the database cannot do that now ({why}); try again") from error
        if sqlstate in _NOT_TEXT:
            raise InvalidError("text must not hold NUL characters") from error
        raise
    except PoolTimeoutError as error:
        raise UnavailableError("every database connection is busy; try again") from error


def _driver_errors_as_ours(context: ExceptionContext) -> UnavailableError | None:
    """Return what SQLAlchemy raises in place of an OSError of a statement, BEGIN or COMMIT."""
    if not isinstance(context.original_exception, OSError):
        return None
    context.is_disconnect = True  # the connection is not used again
    return UnavailableError(_UNREACHABLE)
