"""Runs revisions in a transaction each, under an advisory lock, with a short lock timeout."""

import asyncio
import time

from alembic import context
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from controlplane.store.migrations.sessions import set_timeouts
from controlplane.store.tables import metadata

_ADVISORY_LOCK = 0x766F6C617279  # "volary"
_LOCK_INTERVAL_SECONDS = 0.5


def _migrate(connection: Connection) -> None:
    _lock(connection)
    try:
        # Alembic leaves a transaction that it finds open to us, and then one is all there is.
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transaction_per_migration=True,
            include_object=lambda _, name, kind, *__: (
                not (kind == "table" and name is not None and name.startswith("action_events_"))
            ),
        )
        set_timeouts(lambda statement: connection.execute(text(statement)))
        connection.commit()
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
        connection.commit()


def _lock(connection: Connection) -> None:
    """
    Wait until no other program migrates; the lock is the session's.

    By trying again: a statement that waits for the lock has a snapshot, for which an index that
    the other program creates concurrently would wait in turn.
    """
    while True:
        is_ours = connection.scalar(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_LOCK}
        )
        connection.commit()
        if is_ours:
            return
        time.sleep(_LOCK_INTERVAL_SECONDS)


async def _run() -> None:
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _write_sql() -> None:
    """Write the statements instead of running them, for linters and reviewers."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _write_sql()
else:
    asyncio.run(_run())
