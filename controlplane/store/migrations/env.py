"""Runs revisions in a transaction each, under an advisory lock, with a short lock timeout."""

import asyncio

from alembic import context
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from controlplane.store.migrations import running
from controlplane.store.migrations.sessions import set_timeouts
from controlplane.store.migrations.steps import release, steps_of
from controlplane.store.tables import metadata


def _migrate(connection: Connection) -> None:
    upgrade: running.Upgrade | None = context.config.attributes.get("upgrade")
    report = upgrade.report if upgrade is not None else lambda _: None
    steps = steps_of(context.script)
    running.lock(connection, report)
    try:
        if upgrade is not None and not running.prepare(connection, steps, upgrade, release()):
            return
        recorder = running.Recorder(connection, steps, release(), report)
        connection.commit()
        # Alembic leaves a transaction that it finds open to us, and then one is all there is.
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transaction_per_migration=True,
            on_version_apply=lambda *, step, **_: recorder.record(step),
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
        running.unlock(connection)


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
