"""
Listening to Postgres: one connection of the process hears every commit's notice.

A notice only says where to look. Whatever was said while the connection was down is
made up for by ``None``, which means: look at everything again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import asyncpg
from sqlalchemy import make_url

from controlplane.store.connections import APPLICATION_ROLE
from controlplane.store.notify.changes import CHANNEL, Notification, parse_notification

log = logging.getLogger(__name__)

_PROBE_SECONDS = 15
_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


async def listen(url: str) -> AsyncGenerator[Notification | None, None]:
    """Yield notices until cancelled; None after every (re)connection: look at everything."""
    failures = 0
    while True:
        try:
            async with aclosing(_listen_once(url)) as received:
                async for notification in received:
                    failures = 0
                    yield notification
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            delay = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
            failures += 1
            log.warning(
                "lost the listening connection", extra={"error": str(error), "retry_in_s": delay}
            )
            await asyncio.sleep(delay)


async def _listen_once(url: str) -> AsyncGenerator[Notification | None, None]:
    received: asyncio.Queue[str | None] = asyncio.Queue()
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(
        dsn,
        timeout=10,
        command_timeout=10,
        server_settings={"role": APPLICATION_ROLE, "application_name": "volary-listen"},
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
                # Silence may be a connection that is dead without knowing: ask.
                await connection.execute("SELECT 1")
                continue
            if payload is None:
                raise asyncpg.ConnectionDoesNotExistError("the server closed the connection")
            yield _parse(payload)
    finally:
        connection.terminate()


def _parse(payload: str) -> Notification | None:
    """Anybody who may connect may notify: what is not a notice of ours says nothing sure."""
    try:
        return parse_notification(payload)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        log.warning("heard what is not a notice", extra={"error": str(error)})
        return None
