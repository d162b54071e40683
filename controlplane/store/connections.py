"""
Opens connections to Postgres with their role and settings, directly or through a pooler.

A pooler that hands out transactions (pgbouncer's transaction mode, RDS Proxy) refuses or
ignores start-up parameters, and may give each transaction another server connection. There
every session setting is set at the beginning of each transaction, in the statement that sets
the org anyway, and no statement stays prepared.
"""

from collections.abc import Mapping

from sqlalchemy import TextClause, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controlplane.core.errors import UnavailableError

APPLICATION_ROLE = "volary_app"
"""The role that sees the rows of its transaction's org, and no others."""
FLEET_ROLE = "volary_fleet"
"""The role that sees the rows of every org."""

UNREACHABLE = "the database cannot be reached; try again"

_LIMITS: Mapping[str, str] = {
    "statement_timeout": "20000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",  # short statements; compiling them costs more than running them
    # Hot rows are in memory or on solid-state disks. With the default, which assumes seeking
    # disks, the planner prefers a sequential scan to a few hundred look-ups by key.
    "random_page_cost": "1.1",
    "timezone": "UTC",
}


def open_engine(url: str, *, role: str, size: int, pooled: bool) -> AsyncEngine:
    """
    Create a pool of ``size`` connections in ``role``, opened when they are needed.

    ``url`` is ``postgresql://user:password@host:port/name``, or with ``?host=/socket/dir``;
    ``pooled``: it is the address of a transaction pooler.
    """
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        pool_size=size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=False,  # a broken connection fails one call, which its caller repeats
        connect_args={
            "timeout": 10,
            "command_timeout": 30,
            **(_pooled_options() if pooled else _direct_options(role)),
        },
    )
    event.listen(engine.sync_engine, "handle_error", _driver_errors_as_ours)
    return engine


def begin_of_org(*, pooled: bool, lock_timeout: bool = False) -> TextClause:
    """
    Return the first statement of an org's transaction; it takes ``:org``.

    It is one statement, so that a pooler costs no extra round trip; its settings end with the
    transaction, and reach no other client of the pooler. ``lock_timeout``: it takes
    ``:lock_timeout`` as well, in milliseconds.
    """
    calls = _calls(APPLICATION_ROLE) if pooled else []
    if lock_timeout:
        calls.append("set_config('lock_timeout', :lock_timeout, true)")
    return text(f"SELECT {', '.join([*calls, _SET_ORG])}")


def begin_of_fleet() -> TextClause:
    """Return the first statement of a transaction across orgs behind a pooler; not used without."""
    return text(f"SELECT {', '.join(_calls(FLEET_ROLE))}")


_SET_ORG = "set_config('app.org', :org, true)"


def _calls(role: str) -> list[str]:
    settings = {"role": role, **_LIMITS}
    return [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]


def _direct_options(role: str) -> Mapping[str, object]:
    # As the session's default the role holds even after RESET ROLE.
    return {
        "prepared_statement_cache_size": 500,
        "server_settings": {"role": role, "application_name": "volary", **_LIMITS},
    }


def _pooled_options() -> Mapping[str, object]:
    # The unnamed statement is prepared and run within one transaction, hence on one server
    # connection, and does not outlive it. A named statement would.
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
        "server_settings": {"application_name": "volary"},
    }


def _driver_errors_as_ours(context: ExceptionContext) -> UnavailableError | None:
    """Translate an OSError of a statement, BEGIN or COMMIT into UnavailableError."""
    if not isinstance(context.original_exception, OSError):
        return None
    context.is_disconnect = True  # the connection is not used again
    return UnavailableError(UNREACHABLE)
