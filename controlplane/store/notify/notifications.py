"""
Listens to Postgres notifications (LISTEN) on one connection per process.

A notification only names what to read again. Notifications lost while the connection was down
are made up for by ``None``, which means: read everything again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import asyncpg
from sqlalchemy import make_url

from controlplane.store.connections import APPLICATION_ROLE
from controlplane.store.migrations.steps import release, schema_of_release
from controlplane.store.notify.changes import CHANNEL, Notification, parse_notification
from controlplane.store.replicas import name_listener
from shared.kit.backoff import Backoff

log = logging.getLogger(__name__)

_PROBE_SECONDS = 15
_BACKOFF = Backoff(first=timedelta(seconds=0.1), at_most=timedelta(seconds=5), jitter=0.5)


async def listen(url: str) -> AsyncGenerator[Notification | None, None]:
    """Yield notifications until cancelled; None after every (re)connection: read everything."""
    failures = 0
    while True:
        try:
            async with aclosing(_listen_once(url)) as received:
                async for notification in received:
                    failures = 0
                    yield notification
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            failures += 1
            delay = _BACKOFF.delay(failures).total_seconds()
            log.warning(
                "notification listener disconnected",
                extra={"error": str(error), "retry_in_s": delay},
            )
            await asyncio.sleep(delay)


async def _listen_once(url: str) -> AsyncGenerator[Notification | None, None]:
    received: asyncio.Queue[str | None] = asyncio.Queue()
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(
        dsn,
        timeout=10,
        command_timeout=10,
        server_settings={
            "role": APPLICATION_ROLE,
            # By it an upgrade knows which schema this replica needs.
            "application_name": name_listener(schema_of_release(), release()),
        },
    )
    try:
        connection.add_termination_listener(lambda _: received.put_nowait(None))
        await connection.add_listener(
            CHANNEL, lambda *reported: received.put_nowait(str(reported[3]))
        )
        yield None
        while True:
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    payload = await received.get()
            except TimeoutError:
                # No notification for so long may mean a dead connection: probe it.
                await connection.execute("SELECT 1")
                continue
            if payload is None:
                raise asyncpg.ConnectionDoesNotExistError("the server closed the connection")
            yield _parse(payload)
    finally:
        connection.terminate()


def _parse(payload: str) -> Notification | None:
    """Parse a payload; a malformed one, which any client may send, counts as "read everything"."""
    try:
        return parse_notification(payload)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        log.warning("malformed notification received", extra={"error": str(error)})
        return None
