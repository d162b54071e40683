"""
Opens transactions, each for one org or, with a reason, for the whole fleet.

A query on a tenant's table takes an :class:`OrgTx`, which only
:meth:`Database.for_org` makes; row-level security enforces the same in Postgres.
The few passes across tenants take a :class:`FleetTx` and give a reason.

Transactions of orgs are in the role ``volary_app``, those of passes across orgs in
``volary_fleet``, whichever user the address logs in as. Neither role owns a table or bypasses
row-level security: the policies decide which rows they see, and no setting widens that.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

from sqlalchemy import CursorResult, Row, text
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import Executable

from controlplane.core.errors import BusyError, InvalidError, UnavailableError
from controlplane.store.connections import (
    APPLICATION_ROLE,
    FLEET_ROLE,
    UNREACHABLE,
    begin_of_fleet,
    begin_of_org,
    open_engine,
)
from controlplane.store.metrics import DatabaseMetrics, PoolMetrics
from shared.model.ids import OrgName

LARGE_SET = 32
"""From this many rows on, a custom plan is worth its cost of some tenths of a millisecond."""

_PLAN_EACH = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")

# SQLSTATEs and their classes that mean "not now": connection, resources, operator, locks,
# a server that takes no writes (it is being replaced), a transaction that sat idle.
_UNAVAILABLE = ("08", "53", "57", "40", "58", "25006", "25P03")
_LOCK_TIMEOUT = "55P03"
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

    async def plan_for(self, size: int) -> None:
        """
        Force custom plans for large sets, until the end of the transaction.

        A cached generic plan from when a table was nearly empty joins every row of the set
        with every row of the table, until the table is analysed again.
        """
        if size >= LARGE_SET:
            await self.connection.execute(_PLAN_EACH)

    async def rows(
        self, statement: Executable, values: Mapping[str, object] | None = None
    ) -> Sequence[Row[tuple[object, ...]]]:
        return (await self.execute(statement, values)).all()


@dataclass(frozen=True, slots=True)
class FleetTx:
    """A transaction that sees every org's rows, with the reason why it has to."""

    connection: AsyncConnection
    reason: str


class Database:
    """
    Two connection pools: one for transactions of an org, one for those across orgs.

    They are in different roles, and may log in as different users: then no statement of an
    org's transaction can make it see other orgs.
    """

    def __init__(
        self,
        orgs: AsyncEngine,
        fleet: AsyncEngine,
        *,
        pooled: bool = False,
        metrics: DatabaseMetrics | None = None,
        name: str = "",
    ) -> None:
        """``name``: of these pools in ``metrics``."""
        metrics = metrics or DatabaseMetrics(None)
        self._orgs = orgs
        self._fleet = fleet
        self._orgs_metrics = metrics.of_pool(name, orgs)
        self._fleet_metrics = metrics.of_pool(f"{name}_fleet", fleet)
        self._set_org = begin_of_org(pooled=pooled)
        self._set_org_and_lock_timeout = begin_of_org(pooled=pooled, lock_timeout=True)
        self._set_fleet = begin_of_fleet() if pooled else None

    @asynccontextmanager
    async def for_org(
        self, org: OrgName, *, lock_timeout: timedelta | None = None
    ) -> AsyncIterator[OrgTx]:
        """
        Open a transaction on ``org``'s rows; UnavailableError if Postgres is unreachable.

        ``lock_timeout``: how long to wait for a lock before BusyError; ten seconds by default.
        """
        async with _transaction(self._orgs, self._orgs_metrics) as connection:
            if lock_timeout is None:
                await connection.execute(self._set_org, {"org": org})
            else:
                milliseconds = str(lock_timeout // timedelta(milliseconds=1))
                await connection.execute(
                    self._set_org_and_lock_timeout, {"org": org, "lock_timeout": milliseconds}
                )
            yield OrgTx(connection, org)

    @asynccontextmanager
    async def for_fleet(self, reason: str) -> AsyncIterator[FleetTx]:
        """Open a transaction across orgs; UnavailableError if Postgres is unreachable."""
        async with _transaction(self._fleet, self._fleet_metrics) as connection:
            if self._set_fleet is not None:
                await connection.execute(self._set_fleet)
            yield FleetTx(connection, reason)

    async def ping(self) -> None:
        """Check that Postgres answers; UnavailableError if it does not."""
        async with _transaction(self._orgs, self._orgs_metrics) as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._orgs.dispose()
        await self._fleet.dispose()


def open_database(
    url: str,
    *,
    pool_size: int = 10,
    fleet_url: str = "",
    fleet_pool_size: int = 2,
    pooled: bool = False,
    metrics: DatabaseMetrics | None = None,
    name: str = "",
) -> Database:
    """
    Create both pools; connections are opened when they are needed.

    ``fleet_url``: the address for transactions across orgs, if they log in as another user.
    ``pooled``: both are addresses of a transaction pooler.
    ``metrics`` counts what they do, as pools ``name`` and ``{name}_fleet``.
    """
    return Database(
        open_engine(url, role=APPLICATION_ROLE, size=pool_size, pooled=pooled),
        open_engine(fleet_url or url, role=FLEET_ROLE, size=fleet_pool_size, pooled=pooled),
        pooled=pooled,
        metrics=metrics,
        name=name,
    )


@asynccontextmanager
async def _transaction(engine: AsyncEngine, metrics: PoolMetrics) -> AsyncIterator[AsyncConnection]:
    """
    Open a transaction; translate the driver's errors, and only those.

    An OSError of the block (a file, an agent's socket, a deadline) passes through: the
    driver's own are translated where they are raised (``store.connections``).
    """
    with _translate_errors(metrics):
        async with AsyncExitStack() as stack:
            asked = perf_counter()
            try:
                connection = await stack.enter_async_context(engine.connect())
            except OSError as error:
                metrics.errors["unavailable"].inc()
                raise UnavailableError(UNREACHABLE) from error
            given = perf_counter()
            metrics.wait.observe(given - asked)
            try:
                async with connection.begin():
                    yield connection
            finally:
                metrics.transaction.observe(perf_counter() - given)


@contextmanager
def _translate_errors(metrics: PoolMetrics) -> Iterator[None]:
    """Translate transient errors and unstorable text; a wrong statement stays a bug."""
    try:
        yield
    except DBAPIError as error:
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        if sqlstate == _LOCK_TIMEOUT:
            metrics.errors["lock_timeout"].inc()
            raise BusyError(
                "another transaction holds the lock on these rows; try again"
            ) from error
        if error.connection_invalidated or sqlstate.startswith(_UNAVAILABLE):
            metrics.errors["unavailable"].inc()
            why = f"SQLSTATE {sqlstate}" if sqlstate else "the connection broke"
            raise UnavailableError(f"the database is unavailable ({why}); try again") from error
        if sqlstate in _NOT_TEXT:
            raise InvalidError("text must not hold NUL characters") from error
        metrics.errors["other"].inc()
        raise
    except PoolTimeoutError as error:
        metrics.errors["pool_timeout"].inc()
        raise UnavailableError(
            "all database connections of the replica are in use; try again"
        ) from error
