"""
Checks the database addresses before they are used: connectivity, login, roles, schema, poolers.

Each problem is a sentence that names the setting, the finding and the remedy. The driver is
used directly: the pools of ``store.database`` are made for addresses that have passed.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from sqlalchemy import make_url

from controlplane.core.addresses import Addresses
from controlplane.core.errors import UnfitDatabaseError
from controlplane.core.schema_steps import find_mismatch
from controlplane.store.connections import APPLICATION_ROLE, FLEET_ROLE
from controlplane.store.migrations.schemas import read_schema
from controlplane.store.migrations.steps import release, steps_of_release

ORGS = "VOLARY_DATABASE_URL"
FLEET = "VOLARY_FLEET_DATABASE_URL"
DIRECT = "VOLARY_DIRECT_DATABASE_URL"

_CONNECT_SECONDS = 10
_NOTIFICATION_SECONDS = 5
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
_NAME_DIRECT = (
    f"if it leads to a pooler, set {DIRECT} to the address of Postgres itself; then the "
    "control plane uses no start-up parameters and no prepared statements at this address"
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class _Problem(Exception):  # noqa: N818  # caught in this module; only its text leaves it
    """A problem with one address, as one sentence for the operator."""


async def require_fit(addresses: Addresses) -> None:
    """Raise UnfitDatabaseError unless statements can run in both roles, on a schema that fits."""
    problems = [problem async for problem in _problems_of_roles(addresses)]
    problems += [] if problems else await _problems_of_schema(addresses)
    if problems:
        raise UnfitDatabaseError("; ".join(problems))


async def find_problems(addresses: Addresses) -> Sequence[str]:
    """Check roles, schema and notifications; return the problems, none if all addresses are fit."""
    problems = [problem async for problem in _problems_of_roles(addresses)]
    problems += [] if problems else await _problems_of_schema(addresses)
    try:
        await _check_notifications(addresses)
    except _Problem as problem:
        problems.append(str(problem))
    return list(dict.fromkeys(problems))  # an unreachable server fails both alike


async def _problems_of_schema(addresses: Addresses) -> list[str]:
    """Say why this release may not serve on the schema that the database has."""
    try:
        async with _connected(ORGS, addresses.orgs) as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {APPLICATION_ROLE}")
            database = await read_schema(connection)
    except _Problem as problem:
        return [str(problem)]
    mismatch = find_mismatch(steps_of_release(), database, release=release())
    return [f"{ORGS}: {mismatch}"] if mismatch else []


async def _problems_of_roles(addresses: Addresses) -> AsyncIterator[str]:
    fleet = ORGS if addresses.fleet == addresses.orgs else FLEET
    for setting, url, role in (
        (ORGS, addresses.orgs, APPLICATION_ROLE),
        (fleet, addresses.fleet, FLEET_ROLE),
    ):
        try:
            await _check_role(setting, url, role, pooled=addresses.pooled)
        except _Problem as problem:
            yield str(problem)
            if url == addresses.fleet and "cannot connect" in str(problem):
                return  # checking the other role would report the same problem


async def _check_role(setting: str, url: str, role: str, *, pooled: bool) -> None:
    """Check that the login may take the role, and that a direct address is no pooler's."""
    async with _connected(setting, url) as connection:
        async with connection.transaction():  # one server connection, even through a pooler
            await _check_membership(setting, connection, role)
        if pooled:
            return
        await _check_session(setting, url, connection)
    try:
        async with _connected(setting, url, role=role) as connection:
            taken = await connection.fetchval("SELECT current_user")
    except _Problem as problem:
        raise _Problem(f"{problem}; {_NAME_DIRECT}") from problem
    if taken != role:
        raise _Problem(
            f"{setting}: start-up parameters are ignored, so role {role} is not set; {_NAME_DIRECT}"
        )


async def _check_membership(setting: str, connection: Connection, role: str) -> None:
    found = await connection.fetchrow(
        "SELECT session_user AS login, pg_is_in_recovery() AS standby,"
        " EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS exists",
        role,
    )
    assert found is not None  # noqa: S101  # a SELECT without FROM has one row
    if found["standby"]:
        raise _Problem(
            f"{setting}: the server is a standby, which takes no writes; use the primary's address"
        )
    if not found["exists"]:
        raise _Problem(f"{setting}: there is no role {role}; run `volary db upgrade` first")
    if role == FLEET_ROLE and await connection.fetchval(
        "SELECT pg_has_role($1, $2, 'MEMBER')", APPLICATION_ROLE, FLEET_ROLE
    ):
        raise _Problem(
            f"role {APPLICATION_ROLE} is a member of {FLEET_ROLE}, so that every transaction can "
            f"see every org; run: REVOKE {FLEET_ROLE} FROM {APPLICATION_ROLE}"
        )
    if found["login"] == APPLICATION_ROLE and role == FLEET_ROLE:
        raise _Problem(
            f"{setting}: logs in as {APPLICATION_ROLE} itself; have an administrator create a "
            f"user for it: CREATE ROLE volary_login LOGIN PASSWORD '…'; GRANT {APPLICATION_ROLE}, "
            f"{FLEET_ROLE} TO volary_login"
        )
    if not await connection.fetchval("SELECT pg_has_role(session_user, $1, 'MEMBER')", role):
        inherit = " WITH INHERIT FALSE" if connection.get_server_version().major >= 16 else ""
        raise _Problem(
            f"{setting}: user {found['login']} may not take role {role}; have an administrator "
            f'run: GRANT {role} TO "{found["login"]}"{inherit}'
        )


async def _check_session(setting: str, url: str, connection: Connection) -> None:
    """
    Check that each connection has a server process of its own.

    A transaction pooler lends the second connection the process that the first has returned.
    """
    first = await connection.fetchval("SELECT pg_backend_pid()")
    async with _connected(setting, url) as other:
        second = await other.fetchval("SELECT pg_backend_pid()")
    if first == second:
        raise _Problem(
            f"{setting}: leads to a pooler that shares connections between transactions; "
            f"set {DIRECT} to the address of Postgres itself"
        )


async def _check_notifications(addresses: Addresses) -> None:
    """Check that a NOTIFY sent at the orgs' address reaches a LISTEN at the direct address."""
    setting = DIRECT if addresses.pooled else ORGS
    channel = f"volary_check_{secrets.token_hex(8)}"
    received = asyncio.Event()
    async with _connected(setting, addresses.direct) as listener:
        await listener.add_listener(channel, lambda *_: received.set())
        async with _connected(ORGS, addresses.orgs) as notifier:
            await notifier.execute(f"NOTIFY {channel}")
        try:
            async with asyncio.timeout(_NOTIFICATION_SECONDS):
                await received.wait()
        except TimeoutError as error:
            raise _Problem(
                f"{setting}: a notification sent at {ORGS} did not arrive within "
                f"{_NOTIFICATION_SECONDS} s; it must be the address of Postgres itself, not of a "
                "pooler, and of the same database"
            ) from error


@asynccontextmanager
async def _connected(setting: str, url: str, *, role: str = "") -> AsyncIterator[Connection]:
    """Connect for the length of a block, without a statement cache, which poolers break."""
    parameters: Mapping[str, str] = {"role": role} if role else {}
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=_CONNECT_SECONDS,
            command_timeout=_CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "volary-check", **parameters},
        )
    except _FAILURES as error:
        reason = str(error) or type(error).__name__
        raise _Problem(f"{setting}: cannot connect to {_address(url)} ({reason})") from error
    try:
        yield connection
    except _FAILURES as error:
        raise _Problem(f"{setting}: {str(error) or type(error).__name__}") from error
    finally:
        connection.terminate()


def _address(url: str) -> str:
    """Return ``host:port/database`` of a URL, without user and password."""
    made = make_url(url)
    host = made.host or made.query.get("host") or "localhost"
    return f"{host}{f':{made.port}' if made.port else ''}/{made.database or ''}"
